package worker

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// icmpError is an ICMP error about a packet, coming from flowtable.Side s.
func (g *rig) icmpError(s flowtable.Side, kind, code uint8, word uint32, about []byte) []byte {
	t := g.tpl[s]
	body := make([]byte, 8, 8+len(about))
	body[0], body[1] = kind, code
	binary.BigEndian.PutUint32(body[4:], word)
	body = append(body, about[t.L2Len:]...)
	b := append([]byte(nil), t.L2[:t.L2Len]...)
	sum := uint16(0)
	if t.Ver == 4 {
		h := make([]byte, 20)
		h[0], h[8], h[9] = 0x45, 64, 1
		binary.BigEndian.PutUint16(h[2:], uint16(20+len(body)))
		copy(h[12:], []byte{192, 0, 2, 1})
		copy(h[16:], t.Dst[12:])
		binary.BigEndian.PutUint16(h[10:], ^packet.Sum(h, 0))
		b = append(b, h...)
	} else {
		h := make([]byte, 40)
		h[0], h[6], h[7] = 0x60, 58, 64
		binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
		copy(h[8:], []byte{0x20, 1, 0xd, 0xb8})
		copy(h[24:], t.Dst[:])
		sum = packet.Sum(h[8:40], packet.Sum([]byte{0, byte(len(body) >> 8), byte(len(body)), 58}[1:3], 58))
		b = append(b, h...)
	}
	binary.BigEndian.PutUint16(body[2:], ^packet.Sum(body, sum))
	return append(b, body...)
}

// readICMP parses an error that was sent and checks its checksum.
func (g *rig) readICMP(raw []byte) packet.ICMPError {
	g.t.Helper()
	m := g.in.cache.Alloc()
	defer g.in.cache.Free(m)
	m.Append(raw)
	var p packet.Packet
	var e packet.ICMPError
	p.Parse(m)
	if !p.ParseICMPError(&e) {
		g.t.Fatalf("not an ICMP error: %x", raw)
	}
	body := p.PayloadBytes()
	sum := uint16(0)
	if p.Ver == 6 {
		sum = packet.Sum(p.Data()[p.L3+8:p.L3+40], packet.Sum([]byte{byte(len(body) >> 8), byte(len(body))}, 58))
	}
	if packet.Sum(body, sum) != 0xffff {
		g.t.Error("the ICMP checksum is wrong")
	}
	return e
}

func TestICMPErrorsAboutFramesAreTranslatedForTheHost(t *testing.T) {
	for _, c := range []struct {
		v6         bool
		kind, code uint8
		word, mtu  uint32
	}{
		{false, 3, 4, 1400, 1380},
		{false, 3, 4, 0, 532},
		{false, 3, 4, 50, 532}, // less than 552 is taken for 552
		{false, 3, 1, 0, 0},
		{true, 2, 0, 1400, 1380},
		{true, 2, 0, 1280, 1280}, // a host need not believe in less
		{true, 2, 0, 600, 1280},
		{true, 1, 3, 0, 0},
	} {
		t.Run(fmt.Sprintf("v6=%v/type=%d/code=%d/word=%d", c.v6, c.kind, c.code, c.word), func(t *testing.T) {
			g := newShooter(t)
			if c.v6 {
				g.ipv6()
			}
			activeStages[5].reach(g)
			g.toHost, g.toWire = nil, nil
			g.host(fromHost(1, 1, ack|psh), []byte("first")...)
			g.host(fromHost(6, 1, ack|psh), []byte("second")...)
			g.feed(g.out, g.icmpError(outside, c.kind, c.code, c.word, g.toWire[1]))
			if len(g.toHost) != 1 {
				t.Fatalf("%d packets for the host", len(g.toHost))
			}
			e := g.readICMP(g.toHost[0])
			if e.Seq != hostISN+1 || e.HasMTU && e.MTU != c.mtu {
				t.Errorf("about %d, MTU %d", e.Seq-hostISN, e.MTU)
			}
			g.counted(1, shm.ICMPTranslated)
		})
	}
}

func TestICMPErrorsAboutNothingInFlightAreDropped(t *testing.T) {
	g := activeStages[5].at(t)
	g.host(fromHost(1, 1, ack|psh), []byte("first")...)
	for _, seq := range []uint32{0, 80, 106, 1 << 31} {
		forged := g.raw(g.tpl[inside], fromHost(seq, 1, ack), nil)
		g.toHost = nil
		g.feed(g.out, g.icmpError(outside, 3, 4, 576, forged))
		if len(g.toHost) != 0 {
			t.Errorf("an error about %d passed", seq)
		}
	}
	damaged := g.icmpError(outside, 3, 4, 576, g.toWire[0])
	damaged[len(damaged)-1] ^= 1
	g.feed(g.out, damaged)
	if len(g.toHost) != 0 {
		t.Error("a damaged error passed")
	}
	g.counted(5, shm.DropICMP)
}

func TestICMPErrorsAboutDeliveredDataAreTranslatedForTheFarEnd(t *testing.T) {
	g := activeStages[5].at(t)
	g.wire(fromPeer(81, 81, ack|psh), g.sealed(80, tcpcrypt.BA, "answer")...)
	about := g.toHost[0]
	g.toHost, g.toWire = nil, nil
	g.feed(g.in, g.icmpError(inside, 3, 3, 0, about))
	if len(g.toWire) != 1 {
		t.Fatalf("%d packets for the far end", len(g.toWire))
	}
	if e := g.readICMP(g.toWire[0]); e.Seq != peerISN+81 {
		t.Errorf("about %d", e.Seq-peerISN)
	}
}

func TestICMPErrorsAboutOthersPassUntouched(t *testing.T) {
	g := activeStages[2].at(t)
	for _, about := range [][]byte{
		g.raw(flowTemplate(5, true), fromHost(1, 1, ack), nil),
		g.raw(g.tpl[inside], fromHost(1, 1, ack), nil), // in set-up
	} {
		raw := g.icmpError(outside, 3, 1, 0, about)
		g.feedFlags(g.out, raw, mbuf.RxIPCksumGood)
		g.untouched("error", [][]byte{raw}, nil)
	}
}

func TestFramesAreCutWherePathOrFarEndTakesLess(t *testing.T) {
	full := func(n int) []byte { return make([]byte, n) }
	t.Run("IPv6 path of 1280 bytes", func(t *testing.T) {
		g := newShooter(t)
		g.ipv6()
		activeStages[5].reach(g)
		g.toHost, g.toWire = nil, nil
		g.host(fromHost(1, 1, ack|psh), full(1440)...)
		sent := g.toWire[0]
		g.expect("before", nil, list("PA s81 a81 l1460"))
		g.feed(g.out, g.icmpError(outside, 2, 0, 1280, sent))
		g.toHost = nil
		g.host(fromHost(1, 1, ack|psh), full(1200)...)
		g.expectPieces(list("s81 a81 l1220", "s1301 a81 l240"))
		g.host(fromHost(1441, 1, ack|psh|fin), full(1220)...)
		pieces := g.toWire
		g.expect("new data", nil, list("A s1541 a81 l1220", "FPA s2761 a81 l20"))
		if frame := append(pieces[0][14+60:], pieces[1][14+60:]...); len(frame) != 1240 {
			t.Errorf("%d bytes", len(frame))
		}
	})
	t.Run("router that tells no MTU", func(t *testing.T) {
		g := activeStages[5].at(t)
		g.host(fromHost(1, 1, ack|psh), full(1440)...)
		g.feed(g.out, g.icmpError(outside, 3, 4, 0, g.toWire[0]))
		if e := g.readICMP(g.toHost[0]); e.MTU != 1492-overhead {
			t.Errorf("the host hears of %d", e.MTU)
		}
		g.toHost, g.toWire = nil, nil
		g.host(fromHost(1, 1, ack|psh), full(1432)...)
		g.expectPieces(list("s81 a81 l1452", "s1533 a81 l8"))
	})
	t.Run("far end without MSS", func(t *testing.T) {
		g := newShooter(t)
		g.wire(with(peerSYN(), nil, enoOfA))
		g.host(with(hostSynAck(), nil, nil))
		g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...)
		g.toHost, g.toWire = nil, nil
		g.host(fromHost(1, 1, ack|psh), full(536)...)
		g.expect("data", nil, list("A s81 a81 l536", "PA s617 a81 l20"))
	})
}

// expectPieces is expect for what went out, but for its flags.
func (g *rig) expectPieces(want []string) {
	g.t.Helper()
	got := g.shots(outside, g.toWire)
	for i := range got {
		_, got[i], _ = strings.Cut(got[i], " ")
	}
	if !slices.Equal(got, want) {
		g.t.Fatalf("%q went out, not %q", got, want)
	}
	g.toHost, g.toWire = nil, nil
}
