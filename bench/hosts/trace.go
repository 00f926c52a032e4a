package hosts

import (
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// Trace remembers the headers of the frames of a link: the first ones and the last ones.
type Trace struct {
	mu    sync.Mutex
	first []traced
	last  []traced // a ring once it is full
	next  int
	count int
}

type traced struct {
	at   time.Time
	dir  Direction
	lost bool
	size int
	head [traceHead]byte
}

const (
	traceHead  = 160 // enough for all headers and the beginning of the payload
	traceFirst = 40
	traceLast  = 300
)

func (t *Trace) add(d Direction, frame []byte, lost bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := traced{at: time.Now(), dir: d, lost: lost, size: len(frame)}
	copy(p.head[:], frame)
	t.count++
	switch {
	case len(t.first) < traceFirst:
		t.first = append(t.first, p)
	case len(t.last) < traceLast:
		t.last = append(t.last, p)
	default:
		t.last[t.next] = p
		t.next = (t.next + 1) % traceLast
	}
}

// String returns a line for each remembered frame.
func (t *Trace) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for i := range t.first {
		t.first[i].line(&b, t.first[0].at)
	}
	if skipped := t.count - len(t.first) - len(t.last); skipped > 0 {
		fmt.Fprintf(&b, "... %d frames\n", skipped)
	}
	for i := range t.last {
		t.last[(t.next+i)%len(t.last)].line(&b, t.first[0].at)
	}
	return b.String()
}

func (p *traced) line(b *strings.Builder, start time.Time) {
	fmt.Fprintf(b, "%10.3f ms %v ", float64(p.at.Sub(start).Microseconds())/1000, p.dir)
	b.WriteString(Describe(p.head[:min(p.size, traceHead)], p.size))
	if p.lost {
		b.WriteString("  LOST")
	}
	b.WriteByte('\n')
}

// Describe puts the headers of a frame into one line. Head is its beginning, size its length.
func Describe(head []byte, size int) string {
	s, ok := Parse(head)
	if !ok {
		if len(head) < 14 {
			return fmt.Sprintf("%d bytes", size)
		}
		return fmt.Sprintf("%s, %d bytes", etherName(binary.BigEndian.Uint16(head[12:])), size)
	}
	h := s.TCP
	var b strings.Builder
	fmt.Fprintf(&b, "%v:%d > %v:%d %s seq %d ack %d win %d len %d", s.Src, h.SourcePort(), s.Dst, h.DestinationPort(),
		h.Flags(), h.SequenceNumber(), h.AckNumber(), h.WindowSize(), s.PayloadLen)
	for _, o := range TCPOptions(h) {
		b.WriteByte(' ')
		b.WriteString(o.String())
	}
	if p := s.Payload(); len(p) >= 3 {
		fmt.Fprintf(&b, " | % x", p[:min(len(p), 8)])
	}
	return b.String()
}

func etherName(t uint16) string {
	switch t {
	case uint16(header.ARPProtocolNumber):
		return "ARP"
	case uint16(header.IPv4ProtocolNumber):
		return "IPv4"
	case uint16(header.IPv6ProtocolNumber):
		return "IPv6"
	}
	return fmt.Sprintf("ethertype %#04x", t)
}
