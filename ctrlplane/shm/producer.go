package shm

import "encoding/binary"

// Producer is the writing end of a ring. One goroutine of one process uses it.
type Producer struct {
	ring Ring
	tail uint64 // position of the next frame; the one in memory follows it
	at   int    // offset in the buffer of the message reserved
	room int    // bytes reserved for it
	skip int    // bytes filled before it because it did not fit before the buffer's end
}

// NewProducer goes on where the last producer of the ring was. Positions that make no sense are repaired, which empties the ring.
func NewProducer(r Ring) *Producer {
	p := &Producer{ring: r, tail: r.ctl.tail.Load()}
	if !r.sane(r.ctl.head.Load(), p.tail) {
		p.repair()
	}
	return p
}

func (p *Producer) repair() {
	p.tail = (p.ring.ctl.head.Load() + 7) &^ 7
	p.ring.ctl.tail.Store(p.tail)
}

// Reserve returns room for a message of n bytes, 1 to MaxMessage, to be filled and then published by Commit; nil when the
// ring has no such room now. The room belongs to the caller until Commit or the next Reserve, which forgets it.
func (p *Producer) Reserve(n int) []byte {
	p.room = 0
	if n < 1 || n > MaxMessage {
		return nil
	}
	r := p.ring
	head := r.ctl.head.Load()
	if !r.sane(head, p.tail) {
		p.repair()
		head = r.ctl.head.Load()
	}
	size := len(r.buf)
	at := int(p.tail & uint64(size-1))
	need := frameBytes(n)
	p.skip = 0
	if at+need > size {
		p.skip = size - at
		at = 0
	}
	if uint64(need+p.skip) > uint64(size)-(p.tail-head) {
		r.ctl.full.Add(1)
		return nil
	}
	p.at, p.room = at+frameHead, n
	return r.buf[p.at : p.at+n : p.at+n]
}

// Commit publishes the first n bytes of what Reserve returned. It reports false, and publishes nothing, when n is not 1 to the
// bytes reserved.
func (p *Producer) Commit(n int) bool {
	if n < 1 || n > p.room {
		return false
	}
	p.room = 0
	if p.skip > 0 {
		putFrame(p.ring.buf[len(p.ring.buf)-p.skip:], skipLength)
	}
	putFrame(p.ring.buf[p.at-frameHead:], uint32(n))
	p.tail += uint64(p.skip + frameBytes(n))
	p.ring.ctl.tail.Store(p.tail)
	return true
}

func putFrame(b []byte, n uint32) {
	binary.LittleEndian.PutUint32(b, n)
	binary.LittleEndian.PutUint32(b[4:], ^n)
}

// SendRequest publishes a request. It reports false when the ring has no room now or the request cannot be encoded.
func (p *Producer) SendRequest(m *Request) bool {
	b := p.Reserve(m.Size())
	if b == nil {
		return false
	}
	n, err := m.Encode(b)
	return err == nil && p.Commit(n)
}

// SendReply publishes a reply. It reports false when the ring has no room now or the reply cannot be encoded.
func (p *Producer) SendReply(m *Reply) bool {
	b := p.Reserve(m.Size())
	if b == nil {
		return false
	}
	n, err := m.Encode(b)
	return err == nil && p.Commit(n)
}

// SendOrder publishes an order. It reports false when the ring has no room now or the order cannot be encoded.
func (p *Producer) SendOrder(m *Order) bool {
	b := p.Reserve(OrderSize)
	if b == nil {
		return false
	}
	n, err := m.Encode(b)
	return err == nil && p.Commit(n)
}
