package worker

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// tagged gives both templates VLAN tags.
func (g *rig) tagged(ids ...uint16) {
	for s := range g.tpl {
		t := &g.tpl[s]
		et := []byte{t.L2[12], t.L2[13]}
		for i, id := range ids {
			t.L2[12+4*i], t.L2[13+4*i] = 0x81, 0
			if i == 0 && len(ids) > 1 {
				t.L2[12], t.L2[13] = 0x88, 0xa8
			}
			binary.BigEndian.PutUint16(t.L2[14+4*i:], id)
		}
		t.L2Len = uint8(14 + 4*len(ids))
		copy(t.L2[12+4*len(ids):], et)
	}
}

func (g *rig) ipv6() {
	for s := range g.tpl {
		t := &g.tpl[s]
		t.Ver = 6
		t.Src, t.Dst = [16]byte{0x20, 1, 15: byte(1 + s)}, [16]byte{0x20, 1, 15: byte(2 - s)}
		binary.BigEndian.PutUint16(t.L2[t.L2Len-2:], 0x86dd)
		t.FlowLabel = 0x12345
	}
}

func TestConnectionsAreEncryptedInEveryLinkAndNetworkLayer(t *testing.T) {
	for name, change := range map[string]func(g *rig){
		"IPv4":             func(*rig) {},
		"VLAN":             func(g *rig) { g.tagged(7) },
		"QinQ":             func(g *rig) { g.tagged(100, 7) },
		"IPv6":             func(g *rig) { g.ipv6() },
		"IPv6 behind QinQ": func(g *rig) { g.tagged(100, 7); g.ipv6() },
	} {
		for _, at := range []stage{activeStages[5], passiveStages[4]} {
			t.Run(name+"/"+at.name, func(t *testing.T) {
				g := newShooter(t)
				change(g)
				at.reach(g)
				g.state(flowtable.Encrypted)
				l2 := g.tpl[inside].L2[12:g.tpl[inside].L2Len]
				for _, raw := range append(slices.Clone(g.toHost), g.toWire...) {
					if !slices.Equal(raw[12:g.tpl[inside].L2Len], l2) {
						t.Errorf("%x has other tags than %x", raw[:24], l2)
					}
				}
				g.toHost, g.toWire = nil, nil
				g.host(fromHost(1, 1, ack|psh), []byte("hello")...)
				g.expect("data", nil, list("PA s81 a81 l25"))
			})
		}
	}
}

func TestSameAddressesInAnotherVLANAreAnotherConnection(t *testing.T) {
	g := activeStages[5].at(t)
	g.tagged(9)
	raw := g.raw(g.tpl[outside], fromPeer(1, 1, ack|psh), []byte("plain"))
	g.feed(g.out, raw)
	g.untouched("data in another VLAN", [][]byte{raw}, nil)
}

// stamped adds timestamps to a segment.
func stamped(s packet.Seg, val, ecr uint32) packet.Seg {
	s.HasTS, s.TSVal, s.TSEcr = true, val, ecr
	return s
}

// timestamps reads the option of a packet sent.
func (g *rig) timestamps(raw []byte) [2]uint32 {
	m := g.in.cache.Alloc()
	defer g.in.cache.Free(m)
	m.Append(raw)
	var p packet.Packet
	p.Parse(m)
	return [2]uint32{p.Opt.TSVal, p.Opt.TSEcr}
}

func TestOwnSegmentsAreNotOlderThanTheLastRetransmissionOfTheHost(t *testing.T) {
	g := newShooter(t)
	g.host(stamped(hostSYN(), 100, 0))
	g.host(stamped(hostSYN(), 1100, 0))
	g.toWire = nil
	g.wire(stamped(peerSynAck(), 5000, 1100))
	if got := g.timestamps(g.toWire[0]); got != [2]uint32{1100, 5000} {
		t.Errorf("Init1 carries timestamps %v: the far end has seen 1100", got)
	}
}

func TestOvertakenSegmentsReachTheWireInOrderWithTheirTimestamps(t *testing.T) {
	g := activeStages[5].at(t)
	g.toHost, g.toWire = nil, nil
	g.host(stamped(fromHost(6, 1, ack|psh), 2000, 7), []byte("world")...)
	g.host(stamped(fromHost(11, 1, ack|psh), 2001, 8), []byte("!")...)
	g.host(stamped(fromHost(1, 1, ack), 1999, 6), []byte("hello")...)
	if got := g.shots(outside, g.toWire); !slices.Equal(got, list("A s81 a81 l25", "PA s106 a81 l25", "PA s131 a81 l21")) {
		t.Errorf("the wire got %q", got)
	}
	for i, ecr := range []uint32{6, 7, 8} {
		if got := g.timestamps(g.toWire[i]); got != [2]uint32{1999 + uint32(i), ecr} {
			t.Errorf("segment %d carries timestamps %v, want %d and %d", i, got, 1999+i, ecr)
		}
	}
}

func TestWindowScaleOfBothEndsIsKept(t *testing.T) {
	g := activeStages[4].at(t)
	g.wire(packet.Seg{Seq: peerISN + 81, Ack: hostISN + 81, Win: 100, Flags: ack})
	g.host(fromHost(1, 1, ack))
	r := g.state(flowtable.Encrypted)
	if r.Host.WScale != 10 || r.Peer.WScale != 10 || r.Egress.WEdge != 80+100<<10 {
		t.Errorf("scales %d and %d, edge %d", r.Host.WScale, r.Peer.WScale, r.Egress.WEdge)
	}
}

func TestECNOfTheSynsSurvives(t *testing.T) {
	g := newShooter(t)
	s := hostSYN()
	s.Flags |= ece | cwr
	g.host(s)
	a := peerSynAck()
	a.Flags |= ece
	g.wire(a)
	g.wire(fromPeer(1, 81, ack|psh), initMessage(tcpcrypt.KindInit2)...)
	g.expect("set-up", list("SAE s0 a1 mss1440"), list("SEC s0 mss1460 eno23", "PA s1 a1 l80 eno", "A s81 a81"))
}

// A router's mark is for the host, whose ECE makes the far end slow down until CWR has come, also where plaintext goes on with other headers
// than those it came with: of a frame in several segments, of several in one, and of what waited behind a hole (RFC 3168 sections 5 and 6.1).
func TestCongestionMarksReachTheHostWithWhateverTheyCameWith(t *testing.T) {
	const ce = 3
	send := func(g *rig, at int, ecn uint8, b []byte) {
		flags := ack | psh
		if ecn != 0 {
			flags |= ece | cwr
		}
		raw := g.raw(g.tpl[outside], fromPeer(81+uint32(at), 81, flags), b)
		m := g.in.cache.Alloc()
		m.Append(raw)
		var p packet.Packet
		p.Parse(m)
		h := m.Data()[14:]
		if was := binary.BigEndian.Uint16(h); p.Ver == 4 {
			h[1] |= ecn
			binary.BigEndian.PutUint16(h[10:], packet.Update16(binary.BigEndian.Uint16(h[10:]), was, binary.BigEndian.Uint16(h)))
		} else {
			h[1] |= ecn << 4
		}
		raw = append([]byte(nil), m.Data()...)
		g.in.cache.Free(m)
		g.feed(g.out, raw)
	}
	for name, c := range map[string]struct {
		send         func(g *rig, one, two []byte, ecn uint8)
		want, marked []string
	}{
		"a frame in a segment": {func(g *rig, one, _ []byte, ecn uint8) { send(g, 0, ecn, one) }, list("PA s1 a1 l5"), list("PAEC s1 a1 l5")},
		"a frame in two segments": {func(g *rig, one, _ []byte, ecn uint8) {
			send(g, 0, ecn, one[:10])
			send(g, 10, 0, one[10:])
		}, list("PA s1 a1 l5"), list("PAEC s1 a1 l5")},
		"two frames in a segment": {func(g *rig, one, two []byte, ecn uint8) { send(g, 0, ecn, append(slices.Clone(one), two...)) },
			list("PA s1 a1 l5", "PA s6 a1 l6"), list("PAEC s1 a1 l5", "PAE s6 a1 l6")},
		"behind a hole": {func(g *rig, one, two []byte, ecn uint8) {
			send(g, 25, ecn, two)
			send(g, 0, ecn, one)
		}, list("PA s1 a1 l5", "PA s6 a1 l6"), list("PAEC s1 a1 l5", "PAEC s6 a1 l6")},
	} {
		for _, ver := range []uint8{4, 6} {
			for _, ecn := range []uint8{0, ce} {
				t.Run(fmt.Sprintf("%s/IPv%d/%d", name, ver, ecn), func(t *testing.T) {
					g := newShooter(t)
					if ver == 6 {
						g.ipv6()
					}
					activeStages[5].reach(g)
					g.toHost, g.toWire = nil, nil
					c.send(g, g.sealed(80, tcpcrypt.BA, "hello"), g.sealed(105, tcpcrypt.BA, "world!"), ecn)
					for i, raw := range g.toHost {
						got := raw[14+1] & ce
						if ver == 6 {
							got = raw[14+1] >> 4 & ce
						}
						if got != ecn {
							t.Errorf("segment %d to the host has %d in the field of ECN, not %d", i, got, ecn)
						}
					}
					want := c.want
					if ecn != 0 {
						want = c.marked
					}
					g.toWire = nil
					g.expect("data", want, nil)
				})
			}
		}
	}
}

func TestDataBehindInit2FollowsTheSynAck(t *testing.T) {
	g := activeStages[3].at(t)
	g.mute = true
	g.wire(fromPeer(81, 81, ack|psh), g.sealed(80, tcpcrypt.BA, "early")...)
	g.expect("data before keys", nil, g.shots(outside, g.toWire))
	g.mute = false
	g.turn()
	if len(g.toHost) < 2 || g.shot(inside, g.toHost[0]) != "SA s0 a1 mss1440" || g.shot(inside, g.toHost[1]) != "PA s1 a1 l5" {
		t.Errorf("the host got %q", g.shots(inside, g.toHost))
	}
}

func (g *rig) shots(to flowtable.Side, raw [][]byte) []string {
	var out []string
	for _, b := range raw {
		out = append(out, g.shot(to, b))
	}
	return out
}

func TestDamagedSegmentsAreDroppedAndCounted(t *testing.T) {
	for _, at := range append(slices.Clone(activeStages[1:]), passiveStages[1:]...) {
		t.Run(at.name, func(t *testing.T) {
			g := at.at(t)
			g.mute = true
			for _, where := range []int{14 + 8, 14 + 20 + 4} { // TTL, sequence number
				raw := g.raw(g.tpl[inside], fromHost(1, 1, ack), nil)
				raw[where] ^= 1
				g.feed(g.in, raw)
			}
			g.feedFlags(g.out, g.raw(g.tpl[outside], fromPeer(81, 81, ack), nil), mbuf.RxL4CksumBad)
			g.expect("damaged", nil, nil)
			g.counted(3, shm.DropChecksum)
			g.state(at.state)
		})
	}
	g := newShooter(t)
	raw := g.raw(g.tpl[inside], hostSYN(), nil)
	raw[40] ^= 1
	g.feed(g.in, raw)
	g.counted(1, shm.DropChecksum)
	g.state(flowtable.Free)
}

func TestMalformedOptionsOfAnEncryptedConnectionAreDropped(t *testing.T) {
	for _, at := range []stage{activeStages[2], activeStages[5], passiveStages[2], passiveStages[4]} {
		g := at.at(t)
		g.wire(with(fromPeer(81, 81, ack), []byte{8, 3, 0, 0}, nil))
		g.expect(at.name, nil, nil)
		g.counted(1, shm.DropOptions)
	}
}

func TestFragmentsPassOnlyBetweenHostsWithoutEncryptedConnections(t *testing.T) {
	fragment := func(g *rig, s flowtable.Side) []byte {
		raw := g.raw(g.tpl[s], fromPeer(81, 81, ack|psh), make([]byte, 64))
		if g.tpl[s].Ver == 4 {
			h := raw[14:34]
			h[6] = 0x20
			h[10], h[11] = 0, 0
			binary.BigEndian.PutUint16(h[10:], ^packet.Sum(h, 0))
			return raw
		}
		ext := []byte{6, 0, 0, 1, 0, 0, 0, 9}
		out := slices.Insert(slices.Clone(raw), 54, ext...)
		out[20] = 44
		binary.BigEndian.PutUint16(out[18:], uint16(len(out)-54))
		return out
	}
	for _, v6 := range []bool{false, true} {
		for _, at := range []stage{passiveStages[4], {name: "buried", reach: func(g *rig) {
			k := flowtable.Key{Inside: g.tpl[inside].Src, Outside: g.tpl[inside].Dst, InsidePort: g.tpl[inside].SrcPort, OutsidePort: g.tpl[inside].DstPort}
			g.w.Bury(&Orphan{Key: k}, false, g.now)
		}}} {
			t.Run(fmt.Sprint(at.name, v6), func(t *testing.T) {
				g := newShooter(t)
				if v6 {
					g.ipv6()
				}
				raw := fragment(g, outside)
				g.feed(g.out, raw)
				g.untouched("no connection", [][]byte{raw}, nil)
				at.reach(g)
				g.toHost, g.toWire = nil, nil
				g.feed(g.out, raw)
				g.feed(g.in, fragment(g, inside))
				g.expect("encrypted", nil, nil)
				g.counted(2, shm.DropFragment)
			})
		}
	}
}

func TestWhatIsNotTCPPassesUntouched(t *testing.T) {
	udp := make([]byte, 14+20+8)
	udp[12] = 8
	copy(udp[14:], []byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 53, 0, 8})
	arp := make([]byte, 60)
	arp[12], arp[13] = 8, 6
	for name, raw := range map[string][]byte{"UDP": udp, "ARP": arp, "unknown": append(make([]byte, 12), 0x88, 0xcc, 1, 2)} {
		for _, policy := range []flowtable.Policy{flowtable.Opportunistic, flowtable.Require, flowtable.Disabled} {
			g := newShooter(t)
			g.ctl.policy = policy
			g.feed(g.in, raw)
			g.feed(g.out, raw)
			g.untouched(name, [][]byte{raw}, [][]byte{raw})
		}
	}
	g := newShooter(t)
	g.feed(g.in, []byte{1, 2, 3})
	g.expect("runt", nil, nil)
	g.counted(1, shm.DropParse)
}

func TestOwnSegmentsFollowTheHostsLinkLayer(t *testing.T) {
	g := activeStages[5].at(t)
	g.host(fromHost(1, 1, ack|psh), []byte("hello")...)
	g.later(3 * second)
	mac := []byte{2, 0, 0, 0, 0, 9}
	copy(g.tpl[inside].L2[:], mac) // the next hop is another router now
	g.host(fromHost(1, 1, ack))
	g.toWire = nil
	g.host(fromHost(1, 1, ack|psh), []byte("hello")...)
	if len(g.toWire) != 1 || !slices.Equal(g.toWire[0][:6], mac) {
		t.Errorf("the retransmission went to %x", g.toWire)
	}
}
