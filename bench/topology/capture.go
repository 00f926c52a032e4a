package topology

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/bench/pcap"
)

// The ring that the kernel writes packets into: blocks of 1 MiB, handed over when full or after blockTimeout. It holds most
// of a large transfer, so that a busy machine costs no packets.
const (
	ringBlock    = 1 << 20
	ringBlocks   = 96
	ringFrame    = 2048
	blockTimeout = 20 // ms
)

// Capture records what passes the wire.
type Capture struct {
	path string
	fd   int
	ring []byte
	stop atomic.Int64 // when, in Unix nanoseconds; 0 while it goes on
	done chan error
}

// Capture begins to record all that passes the wire into a pcap file of this name in the topology's folder. The topology
// must have a wire.
func (t *Topology) Capture(name string) (*Capture, error) {
	if t.Wire == "" {
		return nil, errors.New("capture: the topology was built without a wire to capture on")
	}
	return t.CaptureAt(t.Wire, WireA, name)
}

// CaptureAt records what passes a device of a namespace.
func (t *Topology) CaptureAt(ns NetNS, dev, name string) (*Capture, error) {
	c := &Capture{path: t.Dir + "/" + name, fd: -1, done: make(chan error, 1)}
	file, err := pcap.Create(c.path)
	if err == nil {
		err = ns.Do(func() error { return c.open(dev) })
	}
	if err != nil {
		c.release()
		return nil, fmt.Errorf("capture: %w", err)
	}
	go func() { c.done <- errors.Join(c.record(file), file.Close()) }()
	return c, nil
}

// open makes the socket and its ring, last of all bound to the device, so that it sees nothing else.
func (c *Capture) open(dev string) error {
	var err error
	if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	if err := unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	req := unix.TpacketReq3{Block_size: ringBlock, Block_nr: ringBlocks, Frame_size: ringFrame,
		Frame_nr: ringBlock / ringFrame * ringBlocks, Retire_blk_tov: blockTimeout}
	if err := unix.SetsockoptTpacketReq3(c.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("packet ring: %w", err)
	}
	if c.ring, err = unix.Mmap(c.fd, 0, ringBlock*ringBlocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return fmt.Errorf("packet ring: %w", err)
	}
	index, err := deviceIndex(c.fd, dev)
	if err != nil {
		return err
	}
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
}

// deviceIndex asks by a socket of the namespace that the device is in.
func deviceIndex(fd int, dev string) (int, error) {
	req, err := unix.NewIfreq(dev)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, fmt.Errorf("device %s: %w", dev, err)
	}
	return int(req.Uint32()), nil
}

func (c *Capture) release() {
	if c.ring != nil {
		_ = unix.Munmap(c.ring)
	}
	if c.fd >= 0 {
		_ = unix.Close(c.fd)
	}
}

// record writes packets to the file until Stop, and whatever was received by then.
func (c *Capture) record(file *pcap.Writer) error {
	for n := 0; ; n = (n + 1) % ringBlocks {
		block := c.ring[n*ringBlock : (n+1)*ringBlock]
		header := (*unix.TpacketHdrV1)(unsafe.Pointer(&block[8]))
		if there, err := c.await(&header.Block_status); !there {
			return err
		}
		if err := writeBlock(file, block, header); err != nil {
			return err
		}
		last := time.Unix(int64(header.Ts_last_pkt.Sec), int64(header.Ts_last_pkt.Usec)).UnixNano() // really nanoseconds
		atomic.StoreUint32(&header.Block_status, unix.TP_STATUS_KERNEL)
		if stop := c.stop.Load(); stop != 0 && last > stop {
			return nil
		}
	}
}

// await waits for a block, and reports that there is none when nothing came for a while after Stop.
func (c *Capture) await(status *uint32) (bool, error) {
	for atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
		stopping := c.stop.Load() != 0
		fds := []unix.PollFd{{Fd: int32(c.fd), Events: unix.POLLIN}}
		ready, err := unix.Poll(fds, 2*blockTimeout)
		if err != nil && err != unix.EINTR {
			return false, err
		}
		if stopping && ready <= 0 && atomic.LoadUint32(status)&unix.TP_STATUS_USER == 0 {
			return false, nil
		}
	}
	return true, nil
}

// writeBlock writes the packets of a block, which the kernel has laid out.
func writeBlock(file *pcap.Writer, block []byte, header *unix.TpacketHdrV1) error {
	at := header.Offset_to_first_pkt
	for range header.Num_pkts {
		h := (*unix.Tpacket3Hdr)(unsafe.Pointer(&block[at]))
		from := at + uint32(h.Mac)
		if err := file.Write(time.Unix(int64(h.Sec), int64(h.Nsec)), block[from:from+h.Snaplen], int(h.Len)); err != nil {
			return err
		}
		at += h.Next_offset
	}
	return nil
}

// Stop ends the recording. It returns the file's path and the number of packets that the kernel had no room for.
func (c *Capture) Stop() (path string, lost int, err error) {
	c.stop.Store(time.Now().UnixNano())
	err = <-c.done
	if st, statErr := unix.GetsockoptTpacketStatsV3(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); statErr == nil {
		lost = int(st.Drops)
	}
	c.release()
	if err != nil {
		return "", lost, fmt.Errorf("capture: %w", err)
	}
	return c.path, lost, nil
}

// Abandon ends the recording and removes the file.
func (c *Capture) Abandon() {
	if path, _, err := c.Stop(); err == nil {
		_ = os.Remove(path)
	}
}
