// Package pcap writes and reads captures of Ethernet frames: the classic format with nanoseconds, little-endian.
package pcap

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

const (
	pcapMagic        = 0xa1b23c4d
	pcapHeaderLen    = 24
	pcapRecordLen    = 16
	linkTypeEthernet = 1
	snapLen          = 65535 // bytes
)

// Writer writes a file. It belongs to one goroutine.
type Writer struct {
	f *os.File
	w *bufio.Writer
}

// Create begins a file of this name, which replaces one that is there.
func Create(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	p := &Writer{f, bufio.NewWriterSize(f, 1<<20)}
	var h [pcapHeaderLen]byte
	binary.LittleEndian.PutUint32(h[0:], pcapMagic)
	binary.LittleEndian.PutUint16(h[4:], 2) // version 2.4
	binary.LittleEndian.PutUint16(h[6:], 4)
	binary.LittleEndian.PutUint32(h[16:], snapLen)
	binary.LittleEndian.PutUint32(h[20:], linkTypeEthernet)
	_, err = p.w.Write(h[:])
	return p, err
}

// Write appends a frame, of which packet is what was captured of origLen bytes.
func (p *Writer) Write(at time.Time, packet []byte, origLen int) error {
	var h [pcapRecordLen]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(at.Unix()))
	binary.LittleEndian.PutUint32(h[4:], uint32(at.Nanosecond()))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(packet)))
	binary.LittleEndian.PutUint32(h[12:], uint32(origLen))
	_, err1 := p.w.Write(h[:])
	_, err2 := p.w.Write(packet)
	return errors.Join(err1, err2)
}

// Close completes the file.
func (p *Writer) Close() error { return errors.Join(p.w.Flush(), p.f.Close()) }

// Read calls each with every packet of a file that a Writer wrote. The slice is each's only during the call.
func Read(path string, each func(packet []byte)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	var h [pcapHeaderLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil || binary.LittleEndian.Uint32(h[:]) != pcapMagic {
		return fmt.Errorf("%s: no capture of ours", path)
	}
	buf := make([]byte, snapLen)
	for {
		var rec [pcapRecordLen]byte
		if _, err := io.ReadFull(r, rec[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		n := binary.LittleEndian.Uint32(rec[8:])
		if n > snapLen {
			return fmt.Errorf("%s: a packet of %d bytes", path, n)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		each(buf[:n])
	}
}
