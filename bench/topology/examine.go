package topology

import (
	"fmt"

	"gvisor.dev/gvisor/pkg/tcpip/header"

	"linecrypt/bench/pattern"
	"linecrypt/bench/pcap"
	"linecrypt/ctrlplane/eno"
)

// Wire is what a capture of the wire shows.
type Wire struct {
	Packets, Bytes    int
	Segments, Payload int // TCP segments, and the bytes of data in them
	Longest           int // bytes of data in the segment that has most
	// SYN and SYN-ACK segments, and those of them with an ENO option. What goes out more than once counts each time.
	SYN, SYNWithENO, SYNACK, SYNACKWithENO int
	// Plaintext counts packets with a run of at least pattern.MinRun bytes of a pattern stream; First describes the first.
	Plaintext int
	First     string
	// Frames counts segments whose data is frames of RFC 8548 that fill it exactly: one, or several in a super-packet.
	Frames int
}

// Examine reads a capture. It looks at the segments of all TCP connections, and for plaintext in every byte of every packet.
func Examine(path string) (Wire, error) {
	var w Wire
	err := pcap.Read(path, w.add)
	return w, err
}

func (w *Wire) add(packet []byte) {
	w.Packets++
	w.Bytes += len(packet)
	if r, found := pattern.Find(packet); found {
		w.Plaintext++
		if w.First == "" {
			w.First = fmt.Sprintf("packet %d: %d bytes of stream %d from byte %d on", w.Packets, r.Len, r.Stream, r.Offset)
		}
	}
	tcp := TCP(packet)
	if tcp == nil {
		return
	}
	w.Segments++
	data := tcp.Payload()
	w.Payload += len(data)
	w.Longest = max(w.Longest, len(data))
	if len(data) > 0 && filledByFrames(data) {
		w.Frames++
	}
	if tcp.Flags()&header.TCPFlagSyn == 0 {
		return
	}
	_, err := eno.FindSYN(tcp.Options())
	withENO := 0
	if err == nil {
		withENO = 1
	}
	if tcp.Flags()&header.TCPFlagAck == 0 {
		w.SYN++
		w.SYNWithENO += withENO
	} else {
		w.SYNACK++
		w.SYNACKWithENO += withENO
	}
}

// filledByFrames reports whether data is a number of whole frames.
func filledByFrames(data []byte) bool {
	const least = 20
	for len(data) >= least {
		n := 3 + int(data[1])<<8 + int(data[2])
		if n < least || n > len(data) {
			return false
		}
		data = data[n:]
	}
	return len(data) == 0
}

// TCP returns the TCP segment in an untagged Ethernet frame without IPv6 extension headers, nil where there is none.
func TCP(packet []byte) header.TCP {
	if len(packet) < header.EthernetMinimumSize {
		return nil
	}
	var payload []byte
	ip := packet[header.EthernetMinimumSize:]
	switch header.Ethernet(packet).Type() {
	case header.IPv4ProtocolNumber:
		h := header.IPv4(ip)
		if !h.IsValid(len(ip)) || h.TransportProtocol() != header.TCPProtocolNumber {
			return nil
		}
		payload = h.Payload()
	case header.IPv6ProtocolNumber:
		h := header.IPv6(ip)
		if !h.IsValid(len(ip)) || h.TransportProtocol() != header.TCPProtocolNumber {
			return nil
		}
		payload = h.Payload()
	}
	tcp := header.TCP(payload)
	if len(tcp) < header.TCPMinimumSize || int(tcp.DataOffset()) > len(tcp) || tcp.DataOffset() < header.TCPMinimumSize {
		return nil
	}
	return tcp
}
