package afpacket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
)

// shape is a super-packet as a test wants it.
type shape struct {
	tags    string // VLAN tags, as they stand in the frame
	v6, udp bool
	ext     string // IPv6 extension header or IPv4 options
	options string // of TCP
	flags   uint8
	size    int // gso_size
	payload int
	df      bool
}

// build returns a whole frame as the kernel hands it over, and its virtio-net header.
func (s shape) build() ([]byte, vnetInfo) {
	f := append([]byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02"), s.tags...)
	l4n := 20 + len(s.options)
	proto := byte(6)
	if s.udp {
		l4n, proto = 8, 17
	}
	if s.v6 {
		f = append(f, 0x86, 0xdd, 0x60, 0x01, 0x23, 0x45)
		f = binary.BigEndian.AppendUint16(f, uint16(len(s.ext)+l4n+s.payload))
		next := proto
		if s.ext != "" {
			next = 60
		}
		f = append(f, next, 64)
		f = append(f, bytes.Repeat([]byte{0xfd}, 32)...)
		if s.ext != "" {
			f = append(f, proto)
			f = append(f, s.ext[1:]...)
		}
	} else {
		f = append(f, 0x08, 0x00)
		at := len(f)
		f = append(f, byte(4<<4|(20+len(s.ext))/4), 0x28)
		f = binary.BigEndian.AppendUint16(f, uint16(20+len(s.ext)+l4n+s.payload))
		f = append(f, 0xff, 0xfe, 0, 0, 64, proto, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2)
		if s.df {
			f[at+6] = 0x40
		}
		f = append(f, s.ext...)
		binary.BigEndian.PutUint16(f[at+10:], ^plainSum(f[at:]))
	}
	l4 := len(f)
	v := vnetInfo{flags: unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, gso: tcp4, gsoSize: s.size, csumStart: l4, csumOffset: 16}
	if s.v6 {
		v.gso = tcp6
	}
	f = append(f, 0x10, 0x01, 0x00, 0x50)
	if s.udp {
		v.gso, v.csumOffset = udpSegments, 6
		f = binary.BigEndian.AppendUint16(f, uint16(l4n+s.payload))
		f = append(f, 0, 0)
	} else {
		f = append(f, 0xff, 0xff, 0xf0, 0x00, 0, 0, 0, 7, byte(l4n/4)<<4, s.flags, 0x12, 0x34, 0, 0, 0, 0)
		f = append(f, s.options...)
	}
	v.hdrLen = len(f)
	if s.flags&packet.FlagCWR != 0 {
		v.gso |= unix.VIRTIO_NET_HDR_GSO_ECN
	}
	for i := range s.payload {
		f = append(f, byte(i*7+i/256))
	}
	binary.BigEndian.PutUint16(f[l4+v.csumOffset:], pseudoOf(f, l4, proto))
	return f, v
}

// pseudoOf is the sum of the pseudo-header of a frame whose transport header lies at l4.
func pseudoOf(f []byte, l4 int, proto byte) uint16 {
	l3, _ := networkHeader(f)
	addresses := f[l3+12 : l3+20]
	if f[l3]>>4 == 6 {
		addresses = f[l3+8 : l3+40]
	}
	n := len(f) - l4
	return plainSum(append(bytes.Clone(addresses), 0, proto, byte(n>>8), byte(n)))
}

// cut makes the segments as a sender without offloads would have sent them, their checksums complete.
func (s shape) cut() (segments [][]byte) {
	whole, v := s.build()
	head := v.hdrLen
	for at := 0; at < s.payload; at += s.size {
		n := min(s.size, s.payload-at)
		f := append(bytes.Clone(whole[:head]), whole[head+at:head+at+n]...)
		l3, _ := networkHeader(f)
		proto := byte(6)
		if s.v6 {
			binary.BigEndian.PutUint16(f[l3+4:], uint16(len(f)-l3-40))
		} else {
			h := f[l3 : l3+20+len(s.ext)]
			binary.BigEndian.PutUint16(h[2:], uint16(len(f)-l3))
			binary.BigEndian.PutUint16(h[4:], uint16(0xfffe+at/s.size))
			h[10], h[11] = 0, 0
			binary.BigEndian.PutUint16(h[10:], ^plainSum(h))
		}
		l4 := f[v.csumStart:]
		if s.udp {
			proto = 17
			binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
		} else {
			binary.BigEndian.PutUint32(l4[4:], 0xfffff000+uint32(at))
			if at > 0 {
				l4[13] &^= packet.FlagCWR
			}
			if at+n < s.payload {
				l4[13] &^= packet.FlagFIN | packet.FlagPSH
			}
		}
		binary.BigEndian.PutUint16(l4[v.csumOffset:], pseudoOf(f, v.csumStart, proto))
		complete(f, v.csumStart, v.csumOffset)
		segments = append(segments, f)
	}
	return segments
}

const timestamps = "\x01\x01\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x02"

var shapes = map[string]shape{
	"IPv4":                        {payload: 3 * 1448, size: 1448, flags: packet.FlagACK | packet.FlagPSH, options: timestamps, df: true},
	"a last segment that is less": {payload: 65000, size: 1428, flags: packet.FlagACK | packet.FlagPSH | packet.FlagFIN, options: timestamps, df: true},
	"IPv4 that may be fragmented": {payload: 5000, size: 1000, flags: packet.FlagACK},
	"IPv4 options":                {payload: 5000, size: 1000, flags: packet.FlagACK, ext: "\x94\x04\x00\x00", df: true},
	"IPv6":                        {payload: 64000, size: 1408, flags: packet.FlagACK | packet.FlagPSH, options: timestamps, v6: true},
	"IPv6 with an extension":      {payload: 9000, size: 1400, flags: packet.FlagACK, v6: true, ext: "\x00\x00\x01\x04\x00\x00\x00\x00"},
	"a VLAN":                      {payload: 9001, size: 1444, flags: packet.FlagACK, tags: "\x81\x00\x60\x05", options: timestamps, df: true},
	"two VLAN tags":               {payload: 9001, size: 1440, flags: packet.FlagACK, tags: "\x88\xa8\x00\x07\x81\x00\x00\x05", v6: true},
	"CWR and ECE":                 {payload: 9000, size: 1448, flags: packet.FlagACK | packet.FlagCWR | packet.FlagECE | packet.FlagPSH, options: timestamps, df: true},
	"one segment":                 {payload: 1000, size: 1448, flags: packet.FlagACK | packet.FlagPSH, df: true},
	"small segments":              {payload: 60000, size: 100, flags: packet.FlagACK | packet.FlagPSH, df: true},
	"UDP":                         {payload: 20000, size: 1200, udp: true, df: true},
	"UDP over IPv6":               {payload: 20001, size: 1200, udp: true, v6: true},
}

// bareQueue is a queue without sockets, for what comes whole in a slot.
func bareQueue(t testing.TB, buffers int) *queue {
	t.Helper()
	a, err := mbuf.NewArena(buffers, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	q := &queue{cache: mbuf.NewCache(a), at: &sockets{rxFd: -1, txFd: -1}}
	q.at.maxFrame.Store(1500 + LinkOverhead)
	q.rx.prepare()
	q.tx.prepare()
	return q
}

// give has q take a super-packet, and returns the segments. A tag that the kernel takes out of a frame is in the slot's header.
func (q *queue) give(frame []byte, v vnetInfo) []*mbuf.Mbuf {
	var hdr unix.Tpacket2Hdr
	status := uint32(0)
	if len(frame) > 16 && (string(frame[12:14]) == "\x81\x00" || string(frame[12:14]) == "\x88\xa8") {
		hdr.Vlan_tpid, hdr.Vlan_tci = binary.BigEndian.Uint16(frame[12:]), binary.BigEndian.Uint16(frame[14:])
		status = unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_VLAN_TPID_VALID
		frame = append(bytes.Clone(frame[:12]), frame[16:]...)
		v.csumStart -= vlanTag
	}
	hdr.Len = uint32(len(frame))
	q.takeSuper(frame, &hdr, status, v)
	ms := make([]*mbuf.Mbuf, q.rx.n-q.rx.next)
	q.rx.hand(ms)
	return ms
}

func TestSuperPacketBecomesTheSegmentsThatItsSenderWouldHaveSent(t *testing.T) {
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			q := bareQueue(t, 1024)
			got, want := q.give(s.build()), s.cut()
			if len(got) != len(want) {
				t.Fatalf("%d segments, want %d", len(got), len(want))
			}
			for i, m := range got {
				if m.OlFlags&(mbuf.RxL4CksumGood|mbuf.RxL4CksumBad) != mbuf.RxL4CksumGood|mbuf.RxL4CksumBad || !s.v6 && m.OlFlags&mbuf.RxIPCksumGood == 0 {
					t.Errorf("segment %d: flags %#x", i, m.OlFlags)
				}
				_, v := s.build()
				f := m.Data()
				complete(f, v.csumStart, v.csumOffset)
				if !bytes.Equal(f, want[i]) {
					t.Fatalf("segment %d:\n%x\nwant\n%x", i, f[:min(len(f), 100)], want[i][:min(len(want[i]), 100)])
				}
				q.cache.Free(m)
			}
			if n := q.cache.Avail(); n != 1024 {
				t.Errorf("%d buffers lost", 1024-n)
			}
		})
	}
}

func TestSuperPacketThatContradictsItselfIsDroppedAndCounted(t *testing.T) {
	plain := shapes["IPv4"]
	for name, change := range map[string]func(f []byte, v *vnetInfo) []byte{
		"no segment size":             func(f []byte, v *vnetInfo) []byte { v.gsoSize = 0; return f },
		"segments of one byte":        func(f []byte, v *vnetInfo) []byte { v.gsoSize = 1; return f },
		"segments beyond the MTU":     func(f []byte, v *vnetInfo) []byte { v.gsoSize = 1500; return f },
		"another family":              func(f []byte, v *vnetInfo) []byte { v.gso = tcp6; return f },
		"another protocol":            func(f []byte, v *vnetInfo) []byte { v.gso = udpSegments; return f },
		"fragments of UDP":            func(f []byte, v *vnetInfo) []byte { v.gso = unix.VIRTIO_NET_HDR_GSO_UDP; return f },
		"an unknown kind":             func(f []byte, v *vnetInfo) []byte { v.gso = 77; return f },
		"a checksum elsewhere":        func(f []byte, v *vnetInfo) []byte { v.csumStart += 20; return f },
		"a checksum at another place": func(f []byte, v *vnetInfo) []byte { v.csumOffset = 6; return f },
		"no word of its checksum":     func(f []byte, v *vnetInfo) []byte { v.flags = 0; return f },
		"no payload":                  func(f []byte, v *vnetInfo) []byte { return f[:66] },
		"headers cut off":             func(f []byte, v *vnetInfo) []byte { return f[:50] },
		"a network header cut off":    func(f []byte, v *vnetInfo) []byte { return f[:20] },
		"a fragment":                  func(f []byte, v *vnetInfo) []byte { f[20] = 0x20; return f },
		"a short TCP header":          func(f []byte, v *vnetInfo) []byte { f[46] = 4 << 4; return f },
		"IPv9":                        func(f []byte, v *vnetInfo) []byte { f[14] = 9 << 4; return f },
		"three tags": func(f []byte, v *vnetInfo) []byte {
			v.csumStart += 8
			return append(append(bytes.Clone(f[:12]), "\x81\x00\x00\x01\x81\x00\x00\x01\x81\x00\x00\x01"...), f[16:]...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			q := bareQueue(t, 64)
			f, v := plain.build()
			f = change(f, &v)
			if got := q.give(f, v); len(got) != 0 {
				t.Errorf("%d segments", len(got))
			}
			if s := q.superPackets.Load(); s != 1 {
				t.Errorf("%d counted", s)
			}
			if n := q.cache.Avail(); n != 64 {
				t.Errorf("%d buffers lost", 64-n)
			}
		})
	}
}

func TestSuperPacketWithoutBuffersIsCountedSegmentBySegment(t *testing.T) {
	q := bareQueue(t, 20)
	if got := q.give(shapes["a last segment that is less"].build()); len(got) != 0 || q.noMbuf.Load() != 46 || q.cache.Avail() != 20 {
		t.Errorf("%d segments, %d counted, %d buffers", len(got), q.noMbuf.Load(), q.cache.Avail())
	}
}

// ready marks a received segment as the worker leaves one for the port.
func ready(t testing.TB, m *mbuf.Mbuf) {
	t.Helper()
	var p packet.Packet
	switch class := p.Parse(m); {
	case class == packet.TCP:
		p.Finish(true)
	case class == packet.NonTCP && p.Proto == protoUDP:
		at := int(p.Payload)
		binary.BigEndian.PutUint16(m.Data()[at+udpSum:], pseudoOf(m.Data(), at, protoUDP))
		p.FinishUDP(true)
	default:
		t.Fatalf("no segment: %x", m.Data())
	}
}

// message returns what message i hands to the kernel.
func (t *messages) bytes(i int) (vnetInfo, []byte) {
	var all []byte
	h := &t.hdrs[i].hdr
	for _, v := range unsafe.Slice(h.Iov, h.Iovlen) {
		all = append(all, unsafe.Slice(v.Base, v.Len)...)
	}
	return parseVnet(all), all[vnetHeader:]
}

func TestWhatWasSplitIsJoinedToTheSameBytes(t *testing.T) {
	for name, s := range shapes {
		f, v := s.build()
		if s.ext != "" || (s.payload+s.size-1)/s.size > txMessages {
			continue
		}
		t.Run(name, func(t *testing.T) {
			q := bareQueue(t, 64)
			ms := q.give(bytes.Clone(f), v)
			for _, m := range ms {
				ready(t, m)
			}
			q.tx.gather(ms)
			if q.tx.n != 1 || q.tx.taken[0] != len(ms) {
				t.Fatalf("%d messages, the first of %d segments", q.tx.n, q.tx.taken[0])
			}
			got, frame := q.tx.bytes(0)
			if len(ms) == 1 {
				v.gso, v.gsoSize, v.hdrLen = 0, 0, 0
			}
			if got != v {
				t.Errorf("header %+v, want %+v", got, v)
			}
			if !bytes.Equal(frame, f) {
				t.Errorf("frame\n%x\nwant\n%x", frame[:100], f[:100])
			}
		})
	}
}

func TestSegmentsAreJoinedWhereGROWouldAndNowhereElse(t *testing.T) {
	tcp := func(at int, to byte) func([][]byte) { return func(f [][]byte) { f[1][at] = to } }
	for _, c := range []struct {
		name   string
		shape  string
		change func(f [][]byte) // of three segments; the second one is what is odd
		want   []int            // segments of each message
	}{
		{"nothing", "IPv4", func([][]byte) {}, []int{3}},
		{"another port", "IPv4", tcp(35, 9), []int{1, 1, 1}},
		{"another address", "IPv4", tcp(29, 9), []int{1, 1, 1}},
		{"another MAC address", "IPv4", tcp(5, 9), []int{1, 1, 1}},
		{"another TTL", "IPv4", tcp(22, 9), []int{1, 1, 1}},
		{"another DSCP", "IPv4", tcp(15, 9), []int{1, 1, 1}},
		{"another fragment flag", "IPv4", tcp(20, 0), []int{1, 1, 1}},
		{"a gap in the IDs", "IPv4", tcp(19, 9), []int{1, 1, 1}},
		{"a gap in the stream", "IPv4", tcp(41, 0xff), []int{1, 1, 1}},
		{"another acknowledgement", "IPv4", tcp(45, 9), []int{1, 1, 1}},
		{"another window", "IPv4", tcp(48, 9), []int{1, 1, 1}},
		{"another timestamp", "IPv4", tcp(61, 9), []int{1, 1, 1}},
		{"another option", "IPv4", tcp(54, 9), []int{1, 1, 1}},
		{"an urgent byte", "IPv4", tcp(47, packet.FlagACK|packet.FlagURG), []int{1, 1, 1}},
		{"CWR", "IPv4", tcp(47, packet.FlagACK|packet.FlagCWR), []int{1, 2}},
		{"ECE", "IPv4", tcp(47, packet.FlagACK|packet.FlagECE), []int{1, 1, 1}},
		{"SYN", "IPv4", tcp(47, packet.FlagACK|packet.FlagSYN), []int{1, 1, 1}},
		{"RST", "IPv4", tcp(47, packet.FlagACK|packet.FlagRST), []int{1, 1, 1}},
		{"PSH", "IPv4", tcp(47, packet.FlagACK|packet.FlagPSH), []int{2, 1}},
		{"FIN", "IPv4", tcp(47, packet.FlagACK|packet.FlagFIN), []int{2, 1}},
		{"another flow label", "IPv6", tcp(17, 9), []int{1, 1, 1}},
		{"another hop limit", "IPv6", tcp(21, 9), []int{1, 1, 1}},
		{"another address of IPv6", "IPv6", tcp(53, 9), []int{1, 1, 1}},
		{"another VLAN", "a VLAN", tcp(15, 9), []int{1, 1, 1}},
		{"the same ID all along", "IPv4", func(f [][]byte) { f[0][18], f[0][19], f[1][18], f[1][19], f[2][18], f[2][19] = 0, 0, 0, 0, 0, 0 }, []int{3}},
		{"the same ID for a time", "IPv4", func(f [][]byte) { f[0][19], f[1][19] = 0xff, 0xff; f[2][18] = 0; f[2][19] = 0; f[0][18] = 0xff }, []int{2, 1}},
		{"the same ID, to be fragmented", "IPv4", func(f [][]byte) {
			for _, b := range f {
				b[18], b[19], b[20] = 0, 0, 0
			}
		}, []int{1, 1, 1}},
		{"another port of UDP", "UDP", tcp(35, 9), []int{1, 1, 1}},
		{"another TTL of UDP", "UDP", tcp(22, 9), []int{1, 1, 1}},
		{"another address of UDP", "UDP over IPv6", tcp(53, 9), []int{1, 1, 1}},
		{"a shorter one of UDP", "UDP", func(f [][]byte) {
			f[1] = f[1][:1000]
			binary.BigEndian.PutUint16(f[1][16:], 1000-14)
		}, []int{2, 1}},
		{"TCP between UDP", "UDP", func(f [][]byte) { f[1] = shapes["IPv4"].cut()[0] }, []int{1, 1, 1}},
		{"padding", "IPv4", func(f [][]byte) { f[1] = append(f[1], 0) }, []int{1, 1, 1}},
		{"a shorter one", "IPv4", func(f [][]byte) {
			f[1] = f[1][:1000]
			binary.BigEndian.PutUint16(f[1][16:], 1000-14)
			binary.BigEndian.PutUint32(f[2][38:], binary.BigEndian.Uint32(f[1][38:])+1000-66)
		}, []int{2, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := shapes[c.shape]
			s.payload, s.flags = 3*s.size, packet.FlagACK
			frames := s.cut()
			c.change(frames)
			q := bareQueue(t, 64)
			var ms []*mbuf.Mbuf
			for _, f := range frames {
				m := q.cache.Alloc()
				m.Append(f)
				ready(t, m)
				ms = append(ms, m)
			}
			q.tx.gather(ms)
			if got := q.tx.taken[:q.tx.n]; fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("joined as %v, want %v", got, c.want)
			}
		})
	}
}

func TestOnlySegmentsWhoseChecksumIsLeftToThePortAreJoined(t *testing.T) {
	q := bareQueue(t, 64)
	var ms []*mbuf.Mbuf
	for _, f := range shapes["IPv4"].cut() {
		m := q.cache.Alloc()
		m.Append(f)
		ms = append(ms, m)
	}
	q.tx.gather(ms)
	for i := range ms {
		if v, got := q.tx.bytes(i); v != (vnetInfo{}) || !bytes.Equal(got, ms[i].Data()) {
			t.Errorf("message %d has the header %+v", i, v)
		}
	}
}

func TestPaddingIsNotSentWhereTheKernelWouldSumItUp(t *testing.T) {
	q := bareQueue(t, 64)
	s := shapes["one segment"]
	s.payload = 2
	m := q.cache.Alloc()
	m.Append(append(s.cut()[0], "\xff\xff\xff\xff"...))
	ready(t, m)
	q.tx.gather([]*mbuf.Mbuf{m})
	if _, got := q.tx.bytes(0); len(got) != 56 {
		t.Errorf("%d bytes", len(got))
	}
}

// TestSuperPacketCrossesTheKernel sends segments from one port to another, over a kernel that takes them as one packet.
func TestSuperPacketCrossesTheKernel(t *testing.T) {
	w := newWire(t)
	cfg := config(t, 1, 1024)
	far := openIn(t, w.nsB, w.devB, cfg)
	for name, s := range shapes {
		t.Run(name, func(t *testing.T) {
			s.payload = min(s.payload, txMessages*s.size)
			want := s.cut()
			var ms []*mbuf.Mbuf
			for _, f := range want {
				m := cfg.Caches[0].Alloc()
				m.Append(f)
				ready(t, m)
				ms = append(ms, m)
			}
			if n := far.Queue(0).TxBurst(ms); n != len(ms) {
				t.Fatalf("%d of %d sent; %+v", n, len(ms), far.Queue(0).Stats())
			}
			got, _ := receive(w.port, w.cache, 0, len(want), func(b []byte) bool { return string(b[:12]) == string(want[0][:12]) })
			if len(got) != len(want) {
				t.Fatalf("%d of %d segments; %+v", len(got), len(want), w.port.Queue(0).Stats())
			}
			_, v := s.build()
			proto := byte(6)
			if s.udp {
				proto = protoUDP
			}
			for i, f := range got {
				binary.BigEndian.PutUint16(f[v.csumStart+v.csumOffset:], pseudoOf(f, v.csumStart, proto))
				if complete(f, v.csumStart, v.csumOffset); !bytes.Equal(f, want[i]) {
					t.Fatalf("segment %d:\n%x\nwant\n%x", i, f[:min(len(f), 100)], want[i][:min(len(want[i]), 100)])
				}
			}
		})
	}
	if s := w.port.Queue(0).Stats(); s.RxSuperPacket+s.RxTruncated+s.RxNoMbuf != 0 {
		t.Errorf("%+v", s)
	}
	if n := w.cache.Avail(); n != 8192 {
		t.Errorf("%d buffers lost", 8192-n)
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range shapes {
		if s.payload < 10000 {
			b, v := s.build()
			f.Add(b, v.flags, v.gso, uint16(v.gsoSize), uint16(v.csumStart), uint16(v.csumOffset))
		}
	}
	q := bareQueue(f, 2048)
	f.Fuzz(func(t *testing.T, frame []byte, flags, gso uint8, size, start, offset uint16) {
		if len(frame) < ethHeader || len(frame) > 70000 {
			return
		}
		v := vnetInfo{flags: flags, gso: gso, gsoSize: int(size), csumStart: int(start), csumOffset: int(offset)}
		ms := q.give(bytes.Clone(frame), v)
		var p packet.Packet
		payload := 0
		for i, m := range ms {
			class := p.Parse(m)
			if class != packet.TCP && (class != packet.NonTCP || p.Proto != protoUDP) {
				t.Errorf("segment %d of %d is %v", i, len(ms), class)
			}
			if p.Class == packet.TCP {
				payload += int(p.PayloadLen)
			} else {
				payload += int(p.PayloadLen) - udpHeader
			}
			if int(m.DataLen) != int(p.Payload)+int(p.PayloadLen) || int(m.DataLen) > 1500+LinkOverhead {
				t.Errorf("segment %d is %d bytes long and says %d", i, m.DataLen, int(p.Payload)+int(p.PayloadLen))
			}
			if class == packet.TCP {
				p.Finish(true)
			} else {
				p.FinishUDP(true)
			}
		}
		if len(ms) > 0 && payload > len(frame) {
			t.Errorf("%d bytes of payload of %d", payload, len(frame))
		}
		for rest := ms; len(rest) > 0; {
			q.tx.gather(rest)
			if q.tx.n == 0 {
				t.Fatal("nothing is sent")
			}
			for _, n := range q.tx.taken[:q.tx.n] {
				rest = rest[n:]
			}
		}
		q.cache.FreeBurst(ms)
		if n := q.cache.Avail(); n != 2048 {
			t.Errorf("%d buffers lost", 2048-n)
		}
	})
}

// FuzzJoin: whatever segments are handed over, what is sent as one packet comes apart into the same segments again.
func FuzzJoin(f *testing.F) {
	f.Add(uint64(1), uint16(3))
	f.Add(uint64(2), uint16(60))
	q := bareQueue(f, 256)
	f.Fuzz(func(t *testing.T, seed uint64, count uint16) {
		rng := rand.New(rand.NewPCG(seed, 7))
		s := shape{size: 1 + rng.IntN(1400), flags: packet.FlagACK, v6: rng.IntN(2) == 0, df: rng.IntN(2) == 0, udp: rng.IntN(3) == 0}
		if rng.IntN(2) == 0 {
			s.options = timestamps
		}
		n := 1 + int(count)%port.Burst
		s.payload = n*s.size - rng.IntN(s.size)
		frames := s.cut()
		var ms []*mbuf.Mbuf
		for _, b := range frames {
			if rng.IntN(8) == 0 {
				_, v := s.build()
				at := []int{0, 15, 22, v.csumStart + 7, v.csumStart + 13, v.csumStart + 15, v.csumStart + 9}[rng.IntN(7)]
				b[min(at, len(b)-1)] ^= 1 << rng.IntN(8)
			}
			m := q.cache.Alloc()
			m.Append(b)
			var p packet.Packet
			switch class := p.Parse(m); {
			case class == packet.TCP:
				p.Finish(true)
			case class == packet.NonTCP && p.Proto == protoUDP && p.PayloadLen >= udpHeader:
				at := int(p.Payload)
				binary.BigEndian.PutUint16(b[at+udpSum:], pseudoOf(b, at, protoUDP))
				copy(m.Data(), b)
				p.FinishUDP(true)
			}
			ms = append(ms, m)
		}
		q.tx.gather(ms)
		i := 0
		for j := range q.tx.n {
			v, b := q.tx.bytes(j)
			if q.tx.taken[j] == 1 {
				i++
				continue
			}
			apart := q.give(bytes.Clone(b), v)
			if len(apart) != q.tx.taken[j] {
				t.Fatalf("%d segments of %d", len(apart), q.tx.taken[j])
			}
			for _, m := range apart {
				ready(t, m)
				if !bytes.Equal(m.Data(), ms[i].Data()) {
					t.Fatalf("segment %d:\n%x\nwas\n%x", i, m.Data(), ms[i].Data())
				}
				i++
			}
			q.cache.FreeBurst(apart)
		}
		if i != len(ms) {
			t.Errorf("%d of %d segments sent", i, len(ms))
		}
		q.cache.FreeBurst(ms)
	})
}
