package shm

import (
	"encoding/binary"
	"fmt"
)

// Consumer is the reading end of a ring. One goroutine of one process uses it.
type Consumer struct {
	ring Ring
	head uint64 // position of the next frame; the one in memory follows it
	view []byte // the message that Peek returned
	next uint64 // position behind it

	_ [56]byte // to whole cache lines: another worker's may follow
}

// NewConsumer goes on where the last consumer of the ring was: a message that it had not released comes again.
func NewConsumer(r Ring) *Consumer {
	return &Consumer{ring: r, head: r.ctl.head.Load()}
}

// Peek returns the oldest message, nil when there is none. The view is valid until Release, and while it is the producer
// may not write there; a hostile one may, so that every byte is to be read once. Damaged content is thrown away,
// counted, and reported by an error that wraps ErrRingContent; the ring works on after it.
func (c *Consumer) Peek() ([]byte, error) {
	c.view = nil
	for range 2 {
		tail := c.ring.ctl.tail.Load()
		if tail == c.head {
			return nil, nil
		}
		if !c.ring.sane(c.head, tail) {
			return nil, c.reset(tail, "positions")
		}
		at := c.head & uint64(len(c.ring.buf)-1)
		left := min(tail-c.head, uint64(len(c.ring.buf))-at)
		b := c.ring.buf[at : at+left]
		length := binary.LittleEndian.Uint32(b)
		if binary.LittleEndian.Uint32(b[4:]) != ^length {
			return nil, c.reset(tail, "frame check")
		}
		if length == skipLength && at != 0 && tail-c.head > left {
			c.head += left
			continue
		}
		if length == 0 || length > MaxMessage || uint64(frameBytes(int(length))) > left {
			return nil, c.reset(tail, "frame length")
		}
		c.view = b[frameHead : frameHead+length : frameHead+length]
		c.next = c.head + uint64(frameBytes(int(length)))
		return c.view, nil
	}
	return nil, c.reset(c.ring.ctl.tail.Load(), "skipped frames")
}

// reset throws away all that is published.
func (c *Consumer) reset(tail uint64, what string) error {
	c.head = tail &^ 7
	c.ring.ctl.head.Store(c.head)
	c.ring.ctl.resets.Add(1)
	return fmt.Errorf("%s: %w", what, ErrRingContent)
}

// Release erases the message that Peek returned, which may have held keys, and gives its room back.
func (c *Consumer) Release() {
	if c.view == nil {
		return
	}
	clear(c.view)
	c.view = nil
	c.head = c.next
	c.ring.ctl.head.Store(c.head)
}
