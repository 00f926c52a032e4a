package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"unsafe"
)

// lines returns n zero bytes that begin on a cache line.
func lines(n int) []byte {
	b := make([]byte, n+ringLine)
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(b))) % ringLine
	return b[skip : int(skip)+n : int(skip)+n]
}

func newRing(t testing.TB, size int) (Ring, []byte) {
	t.Helper()
	mem := lines(RingBytes(size))
	r, err := FormatRing(mem, size)
	if err != nil {
		t.Fatal(err)
	}
	return r, mem
}

func send(t testing.TB, p *Producer, msg []byte) bool {
	t.Helper()
	b := p.Reserve(len(msg))
	if b == nil {
		return false
	}
	copy(b, msg)
	if !p.Commit(len(msg)) {
		t.Fatal("commit refused what was reserved")
	}
	return true
}

func take(t testing.TB, c *Consumer) []byte {
	t.Helper()
	b, err := c.Peek()
	if err != nil {
		t.Fatal(err)
	}
	b = bytes.Clone(b)
	c.Release()
	return b
}

func TestRingKeepsOrderAndContentOfMessagesOfAllSizes(t *testing.T) {
	ring, _ := newRing(t, minRing)
	p, c := NewProducer(ring), NewConsumer(ring)
	rng := rand.New(rand.NewPCG(1, 2))
	var waiting [][]byte
	sent := 0
	for range 20000 {
		msg := make([]byte, 1+rng.IntN(1<<(1+rng.IntN(15))))
		if rng.IntN(100) == 0 {
			msg = make([]byte, MaxMessage)
		}
		for i := range msg {
			msg[i] = byte(sent + i)
		}
		if rng.IntN(2) == 0 && send(t, p, msg) {
			waiting = append(waiting, msg)
			sent++
		}
		if rng.IntN(2) == 0 {
			got := take(t, c)
			if len(waiting) == 0 {
				if got != nil {
					t.Fatalf("message of %d bytes out of an empty ring", len(got))
				}
				continue
			}
			if !bytes.Equal(got, waiting[0]) {
				t.Fatalf("message of %d bytes instead of %d", len(got), len(waiting[0]))
			}
			waiting = waiting[1:]
		}
	}
	if sent < 5000 || ring.Full() == 0 {
		t.Fatalf("%d sent, %d times full: the test is too tame", sent, ring.Full())
	}
}

func TestLargestMessageFitsIntoEmptyRingWhereverItBegins(t *testing.T) {
	ring, _ := newRing(t, minRing)
	p, c := NewProducer(ring), NewConsumer(ring)
	for i := range 200 {
		if !send(t, p, make([]byte, 1+i*911%5000)) || take(t, c) == nil {
			t.Fatalf("round %d", i)
		}
		if !send(t, p, make([]byte, MaxMessage)) || len(take(t, c)) != MaxMessage {
			t.Fatalf("round %d: the largest message does not fit", i)
		}
	}
}

func TestReserveRefusesImpossibleSizes(t *testing.T) {
	ring, _ := newRing(t, minRing)
	p := NewProducer(ring)
	for _, n := range []int{-1, 0, MaxMessage + 1} {
		if p.Reserve(n) != nil {
			t.Errorf("%d bytes reserved", n)
		}
		if p.Commit(1) {
			t.Errorf("commit after a refused reservation of %d bytes", n)
		}
	}
	if p.Reserve(10) == nil || p.Commit(11) || p.Commit(0) {
		t.Error("commit of what was not reserved")
	}
}

func TestProducerKilledAtAnyStepLeavesWholeMessages(t *testing.T) {
	ring, mem := newRing(t, minRing)
	p, c := NewProducer(ring), NewConsumer(ring)
	var images [][]byte
	snap := func() { images = append(images, bytes.Clone(mem)) }
	for range 7 {
		b := p.Reserve(30000)
		snap()
		for i := range b {
			b[i] = 0xaa
		}
		snap()
		if p.skip > 0 {
			putFrame(ring.buf[len(ring.buf)-p.skip:], skipLength)
			snap()
		}
		putFrame(ring.buf[p.at-frameHead:], 30000)
		snap()
		if !p.Commit(30000) {
			t.Fatal("commit")
		}
		snap()
		take(t, c)
	}
	for i, image := range images {
		later := lines(len(mem))
		copy(later, image)
		r, err := AttachRing(later, minRing)
		if err != nil {
			t.Fatal(err)
		}
		c, p := NewConsumer(r), NewProducer(r)
		for b := take(t, c); b != nil; b = take(t, c) {
			if !bytes.Equal(b, bytes.Repeat([]byte{0xaa}, 30000)) {
				t.Fatalf("image %d: a message that was not published whole", i)
			}
		}
		if !send(t, p, []byte("go on")) || string(take(t, c)) != "go on" {
			t.Fatalf("image %d: the ring does not go on", i)
		}
	}
}

func TestMessageNotReleasedComesAgainToTheNextConsumer(t *testing.T) {
	ring, _ := newRing(t, minRing)
	p := NewProducer(ring)
	send(t, p, []byte("once"))
	send(t, p, []byte("twice"))
	c := NewConsumer(ring)
	if b, err := c.Peek(); err != nil || string(b) != "once" {
		t.Fatalf("%q: %v", b, err)
	}
	c = NewConsumer(ring)
	if got := take(t, c); string(got) != "once" {
		t.Fatalf("%q", got)
	}
	c = NewConsumer(ring)
	if got := take(t, c); string(got) != "twice" {
		t.Fatalf("%q", got)
	}
	if take(t, c) != nil || ring.Used() != 0 {
		t.Fatal("the ring is not empty")
	}
}

func TestReleasedMessageIsErased(t *testing.T) {
	ring, mem := newRing(t, minRing)
	p, c := NewProducer(ring), NewConsumer(ring)
	send(t, p, []byte("master secret"))
	take(t, c)
	if bytes.Contains(mem, []byte("secret")) {
		t.Fatal("still in memory")
	}
}

func TestDamagedRingContentIsCountedAndTheRingGoesOn(t *testing.T) {
	le := binary.LittleEndian
	frame := func(n uint32) func(r Ring) {
		return func(r Ring) { putFrame(r.buf, n) }
	}
	tests := map[string]func(r Ring){
		"length of zero":               frame(0),
		"length beyond the maximum":    frame(MaxMessage + 1),
		"length beyond what is there":  frame(9),
		"skip at the beginning":        frame(skipLength),
		"length without complement":    func(r Ring) { le.PutUint32(r.buf, 4) },
		"published position unaligned": func(r Ring) { r.ctl.tail.Add(3) },
		"published too much":           func(r Ring) { r.ctl.tail.Add(2 * minRing) },
		"published backwards":          func(r Ring) { r.ctl.tail.Store(^uint64(7)) },
	}
	for name, damage := range tests {
		t.Run(name, func(t *testing.T) {
			ring, _ := newRing(t, minRing)
			p, c := NewProducer(ring), NewConsumer(ring)
			send(t, p, []byte("12345678"))
			damage(ring)
			if b, err := c.Peek(); !errors.Is(err, ErrRingContent) || b != nil {
				t.Fatalf("%q: %v", b, err)
			}
			c.Release()
			if ring.Resets() != 1 {
				t.Errorf("%d resets counted", ring.Resets())
			}
			ok := false
			for range 3 {
				send(t, p, []byte("new"))
				b, err := c.Peek()
				ok = ok || err == nil && string(b) == "new"
				c.Release()
			}
			if !ok {
				t.Error("the ring does not go on")
			}
		})
	}
}

func TestProducerSurvivesDamagedConsumerPosition(t *testing.T) {
	for _, head := range []uint64{3, 1 << 40, ^uint64(0), ^uint64(7)} {
		ring, _ := newRing(t, minRing)
		p := NewProducer(ring)
		send(t, p, []byte("x"))
		ring.ctl.head.Store(head)
		send(t, p, []byte("y"))
		c := NewConsumer(ring)
		p = NewProducer(ring)
		ok := false
		for range 3 {
			send(t, p, []byte("z"))
			b, err := c.Peek()
			ok = ok || err == nil && string(b) == "z"
			c.Release()
		}
		if !ok {
			t.Errorf("head %#x: the ring does not go on", head)
		}
	}
}

func TestRingMemoryIsChecked(t *testing.T) {
	if RingBytes(minRing-1) != 0 || RingBytes(minRing*3) != 0 || RingBytes(0) != 0 {
		t.Error("sizes that are not powers of two are accepted")
	}
	_, mem := newRing(t, minRing)
	if _, err := AttachRing(mem, 2*minRing); !errors.Is(err, ErrRingMemory) {
		t.Errorf("other size: %v", err)
	}
	if _, err := AttachRing(mem[:100], minRing); !errors.Is(err, ErrRingMemory) {
		t.Errorf("too little memory: %v", err)
	}
	if _, err := FormatRing(mem[8:], minRing); !errors.Is(err, ErrRingMemory) {
		t.Errorf("not aligned: %v", err)
	}
	if _, err := FormatRing(mem, 5); !errors.Is(err, ErrRingSize) {
		t.Errorf("size 5: %v", err)
	}
}

func TestTwoGoroutinesExchangeMessagesUnchanged(t *testing.T) {
	ring, _ := newRing(t, minRing)
	const messages = 20000
	go func() {
		p := NewProducer(ring)
		rng := rand.New(rand.NewPCG(3, 4))
		for n := range uint32(messages) {
			size := 8 + rng.IntN(3000)
			b := p.Reserve(size)
			for b == nil {
				runtime.Gosched()
				b = p.Reserve(size)
			}
			for i := range b {
				b[i] = byte(n)
			}
			binary.LittleEndian.PutUint32(b, n)
			p.Commit(size)
		}
	}()
	c := NewConsumer(ring)
	for n := uint32(0); n < messages; {
		b, err := c.Peek()
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			runtime.Gosched()
			continue
		}
		if binary.LittleEndian.Uint32(b) != n || slices.ContainsFunc(b[4:], func(x byte) bool { return x != byte(n) }) {
			t.Fatalf("message %d is damaged", n)
		}
		c.Release()
		n++
	}
	if ring.Resets() != 0 {
		t.Errorf("%d resets", ring.Resets())
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	ring, _ := newRing(t, minRing)
	p, c := NewProducer(ring), NewConsumer(ring)
	reply := Reply{Kind: Keys, Role: 1, Init: make([]byte, 100)}
	var got Reply
	if n := testing.AllocsPerRun(1000, func() {
		if !p.SendReply(&reply) {
			t.Fatal("no room")
		}
		b, err := c.Peek()
		if err != nil || got.Decode(b) != nil {
			t.Fatal("not decoded")
		}
		c.Release()
	}); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

func BenchmarkRing(b *testing.B) {
	ring, _ := newRing(b, 1<<20)
	p, c := NewProducer(ring), NewConsumer(ring)
	m := Request{Kind: PassiveKeys, ENOA: make([]byte, 6), ENOB: make([]byte, 6), Init1: make([]byte, 74)}
	var got Request
	b.SetBytes(int64(m.Size()))
	b.ReportAllocs()
	for b.Loop() {
		p.SendRequest(&m)
		view, _ := c.Peek()
		_ = got.Decode(view)
		c.Release()
	}
}

// FuzzRing lets one end be an attacker that writes where it likes: the other may report damage, no more.
func FuzzRing(f *testing.F) {
	f.Add(uint32(0), []byte{1, 2, 3}, uint32(ringHeader), []byte{0, 0, 0, 0})
	f.Add(uint32(ringHeader), []byte{8, 0, 0, 0, 247, 255, 255, 255}, uint32(64), []byte{255})
	f.Add(uint32(64), []byte{255, 255, 255, 255, 255, 255, 255, 255}, uint32(0), []byte{8})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, at2 uint32, patch2 []byte) {
		ring, mem := newRing(t, minRing)
		p, c := NewProducer(ring), NewConsumer(ring)
		for round := range 4 {
			send(t, p, make([]byte, 100+round))
			copy(mem[at%uint32(len(mem)):], patch)
			if b, err := c.Peek(); err != nil && !errors.Is(err, ErrRingContent) || len(b) > MaxMessage {
				t.Fatalf("%d bytes: %v", len(b), err)
			}
			copy(mem[at2%uint32(len(mem)):], patch2)
			c.Release()
			if round == 1 {
				p, c = NewProducer(ring), NewConsumer(ring)
			}
		}
		for round := range 4 {
			send(t, p, []byte("after"))
			b, err := c.Peek()
			if err == nil && string(b) == "after" {
				return
			}
			c.Release()
			_ = round
		}
		if ring.Used() == 0 {
			t.Fatal("the ring does not go on")
		}
	})
}
