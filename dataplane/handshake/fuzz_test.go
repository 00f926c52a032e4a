package handshake

import (
	"encoding/binary"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// script reads events from a fuzzer's bytes.
type script struct{ b []byte }

func (s *script) next() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

// number is near what matters, or anything.
func (s *script) number(isn uint32) uint32 {
	switch c := s.next(); c % 8 {
	case 0, 1:
		return isn
	case 2, 3, 4:
		return isn + 1
	case 5:
		return isn + uint32(s.next())
	case 6:
		return isn - uint32(s.next())
	}
	return binary.BigEndian.Uint32([]byte{s.next(), s.next(), s.next(), s.next()})
}

func (s *script) segment() Segment {
	c := s.next()
	g := Segment{From: flowtable.Side(c & 1), Malformed: c&0x0e == 0x0e, Binding: c&0x70 == 0x70, Long: c&0x81 == 0x81}
	mine, theirs := hostISN, peerISN
	if g.From == flowtable.Outside {
		mine, theirs = theirs, mine
	}
	g.Seq, g.Ack, g.Flags = s.number(mine), s.number(theirs), s.next()
	if f := g.Flags; f&0xc0 != 0 { // mostly flags that there are
		g.Flags = []uint8{syn, syn | ack, ack, ack, rst, rst | ack, ack | fin, syn}[f%8]
	}
	c = s.next()
	g.Win = uint32(c) << 8
	if c&1 != 0 {
		g.Payload, g.Init, g.Frames = 1+int(c>>1), g.From == flowtable.Outside && c&2 != 0, g.From == flowtable.Outside && c&8 != 0
	}
	if c&4 == 0 && g.From == flowtable.Inside {
		g.Room = int(s.next() % 41)
	}
	switch c = s.next(); c % 8 {
	case 0, 1:
		g.ENO = offerA
	case 2, 3:
		g.ENO = answerB
	case 4:
		g.ENO = bare
	case 6:
		g.ENO = [][]byte{resumeA, resumeB, resumeWrongB}[c>>3%3]
	case 5:
		n := int(s.next() % 41)
		g.ENO = s.b[:min(n, len(s.b))]
		s.b = s.b[len(g.ENO):]
	}
	if len(g.ENO) > 0 {
		g.ENOs = 1 + c>>3&1
	}
	return g
}

func (s *script) event(rules *Rules) (e Event, fails map[ActionKind]Failure) {
	c := s.next()
	e = Event{Rules: rules, Alive: c&0x18 != 0, Hates: c&0x60 == 0, Old: c&0x60 == 0x60}
	e.Expect = [2]uint32{s.number(peerISN), peerISN + 1}
	switch c % 8 {
	case 5:
		k := s.next()
		e.Kind, e.Reply, e.Hold = EventReply, shm.ReplyKind(k%8), k&0x40 != 0
		if k&0x80 != 0 {
			e.Kind = EventConfirm
		}
		if k&0x20 != 0 {
			e.Kind, e.Seg = EventRefused, Segment{From: flowtable.Outside, Seq: s.number(hostISN)}
		}
	case 6:
		e.Kind = EventTimer
	case 7:
		e.Kind = EventInit
	default:
		e.Seg = s.segment()
	}
	if c&0x80 == 0 {
		e.Resume = testSecret
	}
	if c >= 0xe0 {
		fails = failures[int(s.next())%len(failures)]
	}
	return e, fails
}

// FuzzSetup lets hostile events happen to one connection after the other.
func FuzzSetup(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x02\xc0\x00\x00\x28"), uint8(1))
	f.Add([]byte{0, 0, 1, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 2, 0xc1, 0, 40, 6, 0, 0, 1, 2, 2, 0xc2, 0x03, 4}, uint8(2))
	seed := make([]byte, 4096)
	for i := range seed {
		seed[i] = byte(i * i >> 3 * 7)
	}
	f.Add(seed, uint8(0))
	mach := NewMachine(testParams)
	f.Fuzz(func(t *testing.T, b []byte, p uint8) {
		rules := testRules(flowtable.Opportunistic + flowtable.Policy(p%3))
		other := testRules(flowtable.Opportunistic + flowtable.Policy(p/3%3))
		s := &script{b}
		m := model{now: second}
		for len(s.b) > 0 {
			e, fails := s.event(rules)
			if e.Kind == EventTimer {
				m.now += int64(s.next()) << 28
			}
			if m.c.State == flowtable.Free {
				if e.Kind != EventSegment || !e.Seg.opens() {
					continue
				}
			} else if p >= 128 {
				e.Rules = other // policy has changed meanwhile
			}
			if err := m.apply(mach, e, fails); err != nil {
				t.Fatal(err)
			}
			if m.over {
				m = model{now: m.now}
			}
		}
		if m.c.State == flowtable.Free {
			return
		}
		if err := m.ends(mach, rules); err != nil {
			t.Fatal(err)
		}
	})
}
