package foreign

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"linecrypt/ctrlplane/eno"
)

// ErrReset is what waiting on a connection returns after the peer has reset it.
var ErrReset = errors.New("connection reset by peer")

const (
	mss = 1460
	// ownScale is the window scale offered where a Conn uses the option.
	ownScale  = 5
	ownWindow = 60_000 // as in the header's field
)

// Conn is a TCP connection. Its methods are for one goroutine; segments arrive on the endpoint's.
type Conn struct {
	e             *Endpoint
	local, remote uint16
	scale         int // the window scale to offer; -1 for no such option
	iss           uint32
	news          chan struct{}

	mu        sync.Mutex
	syn       *segment // the first SYN or SYN-ACK of the peer's
	ack       *segment // the first segment without SYN
	irs       uint32
	peerScale uint8
	una       int64 // stream offset that is acknowledged; -1 before the SYN is
	edge      int64 // stream offset of the right edge of the peer's window
	in        []byte
	stash     map[uint32][]byte // segments beyond a gap, by sequence number
	finSeq    int64             // of the peer's FIN, -1 if none came
	finIn     bool              // and everything before it
	reset     bool

	out   []byte // everything sent, from offset 0
	segs  []cut
	fin   bool // FIN follows the last byte of out
	crypt crypt
}

// cut is a segment of out.
type cut struct{ from, to int64 }

// arrive takes a segment in and acknowledges what has sequence numbers.
func (c *Conn) arrive(s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.notify()
	if s.flags&flagRST != 0 {
		c.reset = true
		return
	}
	if s.flags&flagSYN != 0 {
		c.takeSYN(s)
		return
	}
	if c.syn == nil || s.srcPort != c.remote {
		return
	}
	if c.ack == nil {
		c.ack = s.clone()
	}
	if s.flags&flagACK != 0 {
		c.takeACK(s)
	}
	if len(s.data) > 0 || s.flags&flagFIN != 0 {
		c.takeData(s)
		c.acknowledge()
	}
}

func (c *Conn) notify() {
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *Conn) takeSYN(s *segment) {
	if c.syn != nil {
		return
	}
	c.syn, c.irs, c.remote, c.finSeq = s.clone(), s.seq, s.srcPort, -1
	c.una, c.edge = -1, int64(s.window)-1
	if scale, ok := scaleOf(s.options); ok && c.scale >= 0 {
		c.peerScale = scale
	}
	if s.flags&flagACK != 0 {
		c.una, c.edge = 0, int64(s.window)
	}
}

func (c *Conn) takeACK(s *segment) {
	at := c.una + int64(int32(s.ack-(c.iss+1+uint32(c.una))))
	if at < c.una || at > int64(len(c.out))+1 {
		return
	}
	c.una = at
	c.edge = max(c.edge, at+int64(s.window)<<c.peerScale)
}

func (c *Conn) takeData(s *segment) {
	if s.flags&flagFIN != 0 {
		c.finSeq = int64(s.seq + uint32(len(s.data)))
	}
	if len(s.data) > 0 {
		if old, ok := c.stash[s.seq]; !ok || len(old) < len(s.data) {
			c.stash[s.seq] = append([]byte(nil), s.data...)
		}
	}
	for moved := true; moved; {
		moved = false
		for seq, data := range c.stash {
			next := c.next()
			switch ahead := int32(seq - next); {
			case ahead > 0:
				continue
			case int(-ahead) < len(data):
				c.in = append(c.in, data[-ahead:]...)
				moved = true
			}
			delete(c.stash, seq)
		}
	}
	if c.finSeq >= 0 && uint32(c.finSeq) == c.next() {
		c.finIn = true
	}
}

// next is the sequence number of the next byte to arrive.
func (c *Conn) next() uint32 { return c.irs + 1 + uint32(len(c.in)) }

func (c *Conn) acknowledge() {
	c.e.send(c.segment(flagACK, int64(len(c.out)), nil))
}

// segment makes a segment that begins at a stream offset.
func (c *Conn) segment(flags byte, at int64, data []byte) *segment {
	ack := c.next()
	if c.finIn {
		ack++
	}
	return &segment{srcPort: c.local, dstPort: c.remote, seq: c.iss + 1 + uint32(at), ack: ack, flags: flags,
		window: ownWindow, data: data}
}

func (s *segment) clone() *segment {
	d := *s
	d.options = append([]byte(nil), s.options...)
	d.data = append([]byte(nil), s.data...)
	return &d
}

// synOptions returns the options of a SYN or SYN-ACK: MSS, window scale, ENO.
func (c *Conn) synOptions(enoOption []byte) []byte {
	o := binary.BigEndian.AppendUint16([]byte{2, 4}, mss)
	if c.scale >= 0 {
		o = append(o, 3, 3, byte(c.scale))
	}
	return append(o, enoOption...)
}

// queue adds bytes to the stream, in segments of the lengths that next returns, at most as long as the MSS allows.
func (c *Conn) queue(b []byte, next func() int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, b...)
	for from := c.queued(); from < int64(len(c.out)); from = c.queued() {
		n := int64(min(max(1, next()), mss))
		if from == 0 {
			n = min(n, mss-4) // the first one may carry ENO
		}
		c.segs = append(c.segs, cut{from, min(from+n, int64(len(c.out)))})
	}
}

func (c *Conn) queued() int64 {
	if len(c.segs) == 0 {
		return 0
	}
	return c.segs[len(c.segs)-1].to
}

// Flush sends all that is queued and waits until it is acknowledged.
func (c *Conn) Flush(ctx context.Context) error {
	sent := int64(0) // all before is on its way
	c.mu.Lock()
	sent = max(0, c.una)
	c.mu.Unlock()
	una, since := sent, time.Now()
	for {
		done, err := c.pushed(&sent)
		if done || err != nil {
			return err
		}
		if err := c.wait(ctx); err != nil {
			return fmt.Errorf("%w: %s", err, c.state())
		}
		c.mu.Lock()
		if c.una > una {
			una, since = c.una, time.Now()
		} else if time.Since(since) > retransmission {
			sent, since = c.una, time.Now()
		}
		c.mu.Unlock()
	}
}

// pushed sends what the window allows from offset sent on, and reports whether everything is acknowledged.
func (c *Conn) pushed(sent *int64) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := int64(len(c.out))
	if c.fin {
		end++
	}
	if c.una >= end {
		return true, nil
	}
	if c.reset {
		return false, ErrReset
	}
	for i, s := range c.segs {
		last := i == len(c.segs)-1
		if s.to <= *sent && !(c.fin && last && *sent < end) {
			continue
		}
		if s.to > c.edge && *sent > c.una {
			return false, nil
		}
		flags := byte(flagACK)
		if last {
			flags |= flagPSH
		}
		if last && c.fin {
			flags |= flagFIN
		}
		seg := c.segment(flags, s.from, c.out[s.from:s.to])
		if c.crypt.firstACK && s.from == 0 {
			// The first segment without SYN carries ENO (RFC 8547 section 4.6), and so do its copies.
			seg.options = eno.AppendNonSYN(nil)
		}
		c.e.send(seg)
		*sent = s.to
		if last && c.fin {
			*sent = end
		}
	}
	return false, nil
}

func (c *Conn) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d of %d bytes acknowledged, window up to %d, %d received", c.una, len(c.out), c.edge, len(c.in))
}

// until waits for cond, which is called with the connection locked, to be true.
func (c *Conn) until(ctx context.Context, what string, again func(), cond func() bool) error {
	for {
		c.mu.Lock()
		ok, reset := cond(), c.reset
		c.mu.Unlock()
		switch {
		case ok:
			return nil
		case reset:
			return fmt.Errorf("%s: %w", what, ErrReset)
		}
		if again != nil {
			again()
		}
		if err := c.wait(ctx); err != nil {
			return fmt.Errorf("%s: %w: %s", what, err, c.state())
		}
	}
}

// WaitReset waits until the peer resets the connection.
func (c *Conn) WaitReset(ctx context.Context) error {
	return c.until(ctx, "wait for a reset", nil, func() bool { return c.reset })
}

// End closes the sending direction with FIN behind all that was queued.
func (c *Conn) End(ctx context.Context) error {
	c.mu.Lock()
	c.fin = true
	c.mu.Unlock()
	return c.Flush(ctx)
}
