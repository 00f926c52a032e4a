package worker

import (
	"encoding/binary"
	"slices"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// ports returns MTUs for Config.
func ports(in, out int) *PortMTUs {
	m := new(PortMTUs)
	m.Set(inside, in)
	m.Set(outside, out)
	return m
}

// newShooterWith is newShooter with a configuration of its own.
func newShooterWith(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	g := newRig(t, 16, 256, false, change)
	g.keep = true
	return g
}

// say brings in new data of flow n's host, from position p on.
func (g *rig) say(n, p, bytes int) {
	g.feed(g.in, g.raw(flowTemplate(n, true), packet.Seg{Seq: hostISN + 1 + uint32(p), Ack: peerISN + 1, Win: 60000, Flags: ack | psh}, make([]byte, bytes)))
}

// lengths are those of the IP packets.
func lengths(packets [][]byte) (all []int) {
	for _, raw := range packets {
		if raw[14]>>4 == 6 {
			all = append(all, 40+int(binary.BigEndian.Uint16(raw[18:])))
		} else {
			all = append(all, int(binary.BigEndian.Uint16(raw[16:])))
		}
	}
	return all
}

func TestOneErrorServesEveryFlowToItsDestination(t *testing.T) {
	g := newShooter(t)
	for n := range 3 {
		g.openPassive(n)
	}
	g.toHost, g.toWire = nil, nil
	for n := range 3 {
		g.say(n, 0, 1440)
	}
	sent := g.toWire
	if got := lengths(sent); !slices.Equal(got, []int{1500, 1500, 1500}) {
		t.Fatalf("frames in packets of %d", got)
	}
	g.toHost, g.toWire = nil, nil
	g.feed(g.out, g.icmpError(outside, 3, 4, 1200, sent[0]))
	if e := g.readICMP(g.toHost[0]); len(g.toHost) != 1 || e.MTU != 1180 {
		t.Fatalf("the host heard of %+v", e)
	}
	g.counted(1, shm.PathsLearned)
	for n := 1; n < 3; n++ {
		g.toHost, g.toWire = nil, nil
		g.now += second
		g.say(n, 0, 1440) // the host's retransmission
		if got := lengths(g.toWire); !slices.Equal(got, []int{1200, 340}) {
			t.Errorf("flow %d: the frame in flight goes in packets of %d", n, got)
		}
		if len(g.toHost) != 1 {
			t.Fatalf("flow %d: the host heard of nothing", n)
		}
		if e := g.readICMP(g.toHost[0]); e.MTU != 1180 || e.Seq != hostISN+1 || e.SrcPort != flowTemplate(n, true).SrcPort {
			t.Errorf("flow %d: the host heard of %+v", n, e)
		}
		g.toHost, g.toWire = nil, nil
		g.say(n, 1440, 1440)
		if got := lengths(g.toWire); !slices.Equal(got, []int{1200, 340}) || len(g.toHost) != 0 {
			t.Errorf("flow %d: new data in packets of %d, the host is told %d times at once", n, got, len(g.toHost))
		}
		g.toWire = nil
		g.say(n, 2880, 1120)
		if got := lengths(g.toWire); !slices.Equal(got, []int{1180}) {
			t.Errorf("flow %d: what fits goes in packets of %d", n, got)
		}
	}
	g.counted(2, shm.TooBigSent)
}

func TestPathMTUIsForgottenInTime(t *testing.T) {
	g := newShooter(t)
	g.openPassive(0)
	g.toWire = nil
	g.say(0, 0, 1440)
	g.feed(g.out, g.icmpError(outside, 3, 4, 1200, g.toWire[0]))
	g.now += pathLife + pathSweep
	g.toWire = nil
	g.say(0, 1440, 1440)
	if got := lengths(g.toWire); !slices.Equal(got, []int{1500}) {
		t.Errorf("after ten minutes in packets of %d", got)
	}
}

func TestIPv6HostIsNeverToldLessThan1280(t *testing.T) {
	g := newShooter(t)
	g.ipv6()
	activeStages[5].reach(g)
	g.toHost, g.toWire = nil, nil
	g.host(fromHost(1, 1, ack|psh), make([]byte, 1400)...)
	g.feed(g.out, g.icmpError(outside, 2, 0, 1280, g.toWire[0]))
	if e := g.readICMP(g.toHost[0]); e.MTU != 1280 {
		t.Errorf("told %d", e.MTU)
	}
	g.toHost, g.toWire = nil, nil
	g.now += second
	g.host(fromHost(1401, 1, ack|psh), make([]byte, 1220)...)
	if got := lengths(g.toWire); !slices.Equal(got, []int{1280, 80}) || len(g.toHost) != 0 {
		t.Errorf("its largest segment goes in packets of %d, and it is told %d times more", got, len(g.toHost))
	}
	g.host(fromHost(2621, 1, ack|psh), make([]byte, 1300)...)
	if len(g.toHost) != 1 || g.readICMP(g.toHost[0]).MTU != 1280 {
		t.Errorf("a segment of 1360 bytes: told %d times", len(g.toHost))
	}
}

func TestMSSIsClampedToWhatBothPortsCarry(t *testing.T) {
	jumbo := []byte{2, 4, 1960 >> 8, 1960 & 255}
	for _, c := range []struct {
		name          string
		in, out       int
		toWire, toHst string
	}{
		{"outside smaller", 2000, 1500, "mss1460", "mss1440"},
		{"inside smaller", 1500, 2000, "mss1460", "mss1460"},
		{"both large", 2000, 2000, "mss1960", "mss1940"},
		{"not known", 0, 0, "mss1960", "mss1940"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newShooterWith(t, func(cfg *Config) { cfg.MTU = ports(c.in, c.out) })
			g.host(with(hostSYN(), jumbo, nil))
			g.expect("SYN", nil, list("S s0 "+c.toWire+" eno23"))
			g.wire(with(peerSynAck(), jumbo, enoOfB))
			g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
			g.toWire = nil
			g.expect("SYN-ACK", list("SA s0 a1 "+c.toHst), nil)

			g = newShooterWith(t, func(cfg *Config) { cfg.MTU = ports(c.in, c.out) })
			g.wire(with(peerSYN(), jumbo, enoOfA))
			g.expect("SYN", list("S s0 "+c.toHst), nil)
			g.host(with(hostSynAck(), jumbo, nil))
			g.expect("SYN-ACK", nil, list("SA s0 a1 "+c.toWire+" eno0123"))
		})
	}
}

func TestSegmentsOfAHostWithALargerMTUAreCutAndTheHostIsTold(t *testing.T) {
	g := newShooterWith(t, func(cfg *Config) { cfg.MTU = ports(2000, 1500) })
	jumbo := []byte{2, 4, 1960 >> 8, 1960 & 255}
	g.wire(with(peerSYN(), jumbo, enoOfA))
	g.host(with(hostSynAck(), jumbo, nil))
	g.wire(withENO(fromPeer(1, 1, ack|psh)), initMessage(tcpcrypt.KindInit1)...)
	g.toHost, g.toWire = nil, nil
	g.host(fromHost(1, 1, ack|psh), make([]byte, 1900)...)
	if got := lengths(g.toWire); !slices.Equal(got, []int{1500, 500}) {
		t.Errorf("packets of %d", got)
	}
	if len(g.toHost) != 1 || g.readICMP(g.toHost[0]).MTU != 1480 {
		t.Errorf("the host was told %d times", len(g.toHost))
	}
}

func TestPacketsThatNoPortCarriesAreAnswered(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		g := newShooterWith(t, func(cfg *Config) { cfg.MTU = ports(2000, 1500) })
		if v6 {
			g.ipv6()
		}
		raw := g.raw(g.tpl[inside], fromHost(1, 1, ack), make([]byte, 1600))
		g.feed(g.in, raw)
		if len(g.toWire) != 0 || len(g.toHost) != 1 || g.readICMP(g.toHost[0]).MTU != 1500 {
			t.Fatalf("IPv6 %v: %d passed, %d answers", v6, len(g.toWire), len(g.toHost))
		}
		g.feed(g.in, raw)
		if len(g.toHost) != 1 {
			t.Error("a flood is answered packet by packet")
		}
		g.counted(2, shm.DropTooLong)
	}
}

func TestSegmentsWithoutDFHaveIdentificationsOfTheirOwn(t *testing.T) {
	g := newShooter(t)
	for s := range g.tpl {
		g.tpl[s].DF = 0
	}
	activeStages[5].reach(g)
	g.host(fromHost(1, 1, ack|psh), make([]byte, 1440)...)
	g.feed(g.out, g.icmpError(outside, 3, 4, 600, g.toWire[len(g.toWire)-1]))
	g.toWire = nil
	for range 50 {
		g.host(fromHost(1, 1, ack|psh), make([]byte, 1440)...) // sent again, in three pieces
	}
	g.host(fromHost(1441, 1, ack|psh), make([]byte, 1440)...) // new, cut in three
	seen := map[uint16]bool{}
	for _, raw := range g.toWire {
		id := binary.BigEndian.Uint16(raw[18:])
		if seen[id] || raw[20]&0x40 != 0 {
			t.Fatalf("identification %d twice in %d packets, or DF", id, len(g.toWire))
		}
		seen[id] = true
	}
	if len(seen) != 153 {
		t.Errorf("%d packets", len(seen))
	}
}

// withOptions puts n bytes of destination options, a multiple of 8, into an IPv6 segment.
func withOptions(raw []byte, n int) []byte {
	ext := make([]byte, n)
	ext[0], ext[1] = 6, byte(n/8-1)
	for at := 2; at < n; {
		pad := min(n-at, 257)
		if n-at-pad == 1 {
			pad--
		}
		ext[at], ext[at+1] = 1, byte(pad-2)
		at += pad
	}
	out := slices.Insert(slices.Clone(raw), 54, ext...)
	out[20] = 60
	binary.BigEndian.PutUint16(out[18:], uint16(len(out)-54))
	return out
}

func TestSegmentsWithLongExtensionHeadersAreTranslated(t *testing.T) {
	for _, n := range []int{8, 504, 512, 1024} {
		for _, offload := range []bool{false, true} {
			g := newRig(t, 16, 256, offload)
			g.keep = true
			g.ipv6()
			activeStages[5].reach(g)
			g.toHost, g.toWire = nil, nil
			g.feed(g.in, withOptions(g.raw(g.tpl[inside], fromHost(1, 1, ack|psh), []byte("hello")), n))
			if got := lengths(g.toWire); !slices.Equal(got, []int{40 + n + 20 + 25}) || g.toWire[0][20] != 60 {
				t.Errorf("%d bytes of options: packets of %d", n, got)
			}
			g.counted(0, shm.DropInternal)
		}
	}
}

func TestSegmentsAreCutByWhatTheirHeadersLeave(t *testing.T) {
	g := newShooterWith(t, func(cfg *Config) { cfg.MTU = ports(1500, 1500) })
	g.ipv6()
	activeStages[5].reach(g)
	g.toHost, g.toWire = nil, nil
	g.feed(g.in, withOptions(g.raw(g.tpl[inside], fromHost(1, 1, ack|psh), make([]byte, 440)), 1000))
	if got := lengths(g.toWire); !slices.Equal(got, []int{1500, 1080}) {
		t.Errorf("packets of %d", got)
	}
}

func TestPathToTheHostBoundsWhatItGets(t *testing.T) {
	g := activeStages[5].at(t)
	text := string(make([]byte, 1400))
	g.wire(fromPeer(81, 81, ack|psh), g.sealed(80, tcpcrypt.BA, text)...)
	about := g.toHost[0]
	g.feed(g.in, g.icmpError(inside, 3, 4, 1000, about))
	if len(g.toWire) == 0 || g.readICMP(g.toWire[len(g.toWire)-1]).MTU != 1000 {
		t.Fatal("the far end hears of nothing")
	}
	g.toHost = nil
	g.wire(fromPeer(1501, 81, ack|psh), g.sealed(1500, tcpcrypt.BA, text)...)
	if got := lengths(g.toHost); !slices.Equal(got, []int{1000, 480}) {
		t.Errorf("packets of %d", got)
	}
	g.counted(1, shm.PathsLearned)
}

func TestPortsThatChangeTheirMTUAreNoticed(t *testing.T) {
	m := ports(1500, 1500)
	g := newShooterWith(t, func(cfg *Config) { cfg.MTU = m })
	activeStages[5].reach(g)
	g.toWire = nil
	m.Set(outside, 1400)
	g.host(fromHost(1, 1, ack|psh), make([]byte, 1440)...)
	if got := lengths(g.toWire); !slices.Equal(got, []int{1400, 140}) {
		t.Errorf("packets of %d", got)
	}
	var r *flowtable.Record = g.state(flowtable.Encrypted)
	if r.Peer.MSS != 1460 {
		t.Errorf("what the far end announced became %d", r.Peer.MSS)
	}
}

func TestSegmentOutsideTheHostsStreamIsNotAnswered(t *testing.T) {
	g := newShooterWith(t, func(cfg *Config) { cfg.MTU = ports(2000, 1500) })
	activeStages[5].reach(g)
	g.host(fromHost(1, 1, ack|psh), make([]byte, 100)...)
	g.toHost, g.toWire = nil, nil
	for _, seq := range []uint32{102, 1 << 31} {
		g.host(fromHost(seq, 1, ack|psh), make([]byte, 1900)...)
	}
	g.counted(0, shm.TooBigSent)
}

func TestSignOfABlackHoleIsForgottenInTime(t *testing.T) {
	g := activeStages[5].at(t)
	g.host(fromHost(1, 1, ack|psh), make([]byte, 1400)...)
	g.toWire = nil
	g.host(fromHost(1, 1, ack|psh), make([]byte, 1000)...) // sent again, shorter
	if got := lengths(g.toWire); !slices.Equal(got, []int{1040, 460}) {
		t.Fatalf("sent again in packets of %d", got)
	}
	long := func(p uint32) []int {
		g.toWire = nil
		g.host(fromHost(p, 1, ack|psh), make([]byte, 1400)...)
		return lengths(g.toWire)
	}
	if got := long(1401); !slices.Equal(got, []int{1040, 460}) {
		t.Errorf("new data in packets of %d", got)
	}
	g.w.learnPath(v4Path(203, 0, 113, 1), 900) // of another destination
	if got := long(2801); !slices.Equal(got, []int{1040, 460}) {
		t.Errorf("when another path is learnt of, in packets of %d", got)
	}
	g.now += 601 * second
	if got := long(4201); !slices.Equal(got, []int{1460}) {
		t.Errorf("after ten minutes in packets of %d", got)
	}
}
