package wireshark

import (
	"encoding/binary"
	"errors"
	"time"

	"linecrypt/bench/pcap"
)

// cutSegments copies a capture with each TCP segment over IPv4 that has more than 100 bytes cut into three, as a middlebox might, so
// that frames and even their headers span segments.
func cutSegments(from, to string) error {
	w, err := pcap.Create(to)
	if err != nil {
		return err
	}
	at := time.Unix(1, 0)
	write := func(b []byte) {
		at = at.Add(time.Microsecond)
		err = errors.Join(err, w.Write(at, b, len(b)))
	}
	readErr := pcap.Read(from, func(p []byte) {
		const eth = 14
		if len(p) < eth+40 || p[eth]>>4 != 4 || p[eth+9] != 6 {
			write(p)
			return
		}
		ip := int(p[eth]&15) * 4
		tcp := eth + ip
		head := tcp + int(p[tcp+12]>>4)*4
		end := eth + int(binary.BigEndian.Uint16(p[eth+2:]))
		if end > len(p) || end-head <= 100 {
			write(p)
			return
		}
		seq := binary.BigEndian.Uint32(p[tcp+4:])
		for _, part := range [][2]int{{head, head + 41}, {head + 41, end - 2}, {end - 2, end}} {
			b := append(append([]byte(nil), p[:head]...), p[part[0]:part[1]]...)
			binary.BigEndian.PutUint16(b[eth+2:], uint16(len(b)-eth))
			binary.BigEndian.PutUint32(b[tcp+4:], seq+uint32(part[0]-head))
			write(b)
		}
	})
	return errors.Join(readErr, err, w.Close())
}
