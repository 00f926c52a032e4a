package packet

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"unsafe"

	"linecrypt/dataplane/mbuf"
)

// usualBurst makes packets most of which are usual: segments of few connections, some with another byte than they should have, or cut.
func usualBurst(rng *rand.Rand, ms []*mbuf.Mbuf) {
	for _, m := range ms {
		n := 20 + 12*rng.IntN(2)
		payload := rng.IntN(3) * rng.IntN(700)
		m.Reset()
		m.SetBounds(40+rng.IntN(100), ethLen+20+n+payload)
		b := m.Data()
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		b[12], b[13] = 8, 0
		h := b[ethLen:]
		total := 20 + n + payload
		h[0], h[2], h[3], h[6], h[7], h[9] = 0x45, byte(total>>8), byte(total), 0x40, 0, protoTCP
		copy(h[12:20], []byte{10, 0, 0, 1, 10, 0, 0, 2})
		t := h[20:]
		t[0], t[1], t[2], t[3], t[12], t[13] = 0, byte(rng.IntN(3)), 1, 2, byte(n/4<<4)|byte(rng.IntN(2)), FlagACK
		if n == 32 {
			copy(t[20:], []byte{1, 1, 8, 10})
		}
		m.OlFlags = rng.Uint64()
		m.PktLen = uint32(m.DataLen)
		switch rng.IntN(6) {
		case 0:
			b[rng.IntN(len(b))] ^= byte(1 << rng.IntN(8))
		case 1:
			b[12+rng.IntN(ethLen+20+n-12)] = byte(rng.Uint32())
		case 2:
			m.SetBounds(m.DataOff(), rng.IntN(len(b)+1))
		}
	}
}

// compareBursts demands that assembly and Go parse a burst alike.
func compareBursts(t *testing.T, ms []*mbuf.Mbuf) (usual int) {
	t.Helper()
	asm, twin := make([]Packet, len(ms)), make([]Packet, len(ms))
	bytesA, usual := parseBurst(ms, asm)
	bytesB, usualB := parseBurstGo(ms, twin)
	if bytesA != bytesB || usual != usualB {
		t.Fatalf("%d bytes, %d usual, not %d and %d", bytesA, usual, bytesB, usualB)
	}
	for i := range asm {
		if a, b := &asm[i], &twin[i]; a.Class != b.Class || a.M != b.M || a.behind != b.behind || a.Class == TCP && *a != *b {
			t.Fatalf("packet %d of %d, %x:\n%+v, not\n%+v", i, len(ms), ms[i].Data(), *a, *b)
		}
	}
	return usual
}

func TestBurstsAreParsedAsTheirPacketsAre(t *testing.T) {
	arena, err := mbuf.NewArena(40, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	ms := make([]*mbuf.Mbuf, 40)
	mbuf.NewCache(arena).AllocBurst(ms)
	rng := rand.New(rand.NewPCG(3, 4))
	all, usual := 0, 0
	for range 3000 {
		burst := ms[:1+rng.IntN(len(ms))]
		usualBurst(rng, burst)
		usual += compareBursts(t, burst)
		all += len(burst)
		pkts := make([]Packet, len(burst)+1)
		total, tcp := ParseBurst(burst, pkts)
		for i, m := range burst {
			var p Packet
			p.Parse(m)
			total -= uint64(m.PktLen)
			if p.Class == TCP {
				tcp--
			}
			pkts[i].behind, p.Opt.usual = Anything, pkts[i].Opt.usual
			if p.Class != pkts[i].Class || p.Class == TCP && (p.Seq != pkts[i].Seq || p.Payload != pkts[i].Payload || p.PayloadLen != pkts[i].PayloadLen || p.Opt.Present != pkts[i].Opt.Present) {
				t.Fatalf("%x: %+v, not %+v", m.Data(), pkts[i], p)
			}
		}
		if total != 0 || tcp != 0 {
			t.Fatalf("%d bytes and %d segments too many", total, tcp)
		}
	}
	if usual < all/2 || usual > all*9/10 {
		t.Errorf("%d of %d packets are usual", usual, all)
	}
}

// FuzzParseBurst is the same for packets that the fuzzer makes; two of them, so that one may follow the other.
func FuzzParseBurst(f *testing.F) {
	arena, err := mbuf.NewArena(2, mbuf.DefaultDataRoom)
	if err != nil {
		f.Fatal(err)
	}
	ms := make([]*mbuf.Mbuf, 2)
	mbuf.NewCache(arena).AllocBurst(ms)
	usualBurst(rand.New(rand.NewPCG(5, 6)), ms)
	f.Add(bytes.Clone(ms[0].Data()), bytes.Clone(ms[1].Data()))
	f.Add([]byte{}, bytes.Clone(ms[1].Data()))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		for i, data := range [][]byte{a, b} {
			ms[i].Reset()
			ms[i].Append(data[:min(len(data), mbuf.DefaultDataRoom)])
		}
		compareBursts(t, ms)
	})
}

func TestTranslationInAssemblyIsThatInGo(t *testing.T) {
	arena, err := mbuf.NewArena(2, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	ms := make([]*mbuf.Mbuf, 2)
	mbuf.NewCache(arena).AllocBurst(ms)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 20000 {
		a, b := ms[0], ms[1]
		header := plainHead + tsLen*rng.IntN(2)
		off, at := 30+rng.IntN(200), 100+rng.IntN(200)
		for i := range a.Buf() {
			a.Buf()[i] = byte(rng.Uint32())
			if i > 600 {
				break
			}
		}
		copy(b.Buf()[:700], a.Buf()[:700])
		for _, m := range ms {
			m.SetBounds(off, header)
			m.OlFlags, m.TxOffload = 0xffff_ffff_ffff_ffff, 0
		}
		tr := Translation{Seq: rng.Uint32(), Ack: rng.Uint32(), Win: uint16(rng.Uint32()), Flags: uint8(rng.Uint32()), TSVal: rng.Uint32(), TSEcr: rng.Uint32()}
		n := rng.IntN(1400)
		translatePlain(a, header, at, n, &tr)
		translatePlainGo(b, header, at, n, &tr)
		if !bytes.Equal(a.Buf()[:700], b.Buf()[:700]) || a.OlFlags != b.OlFlags || a.TxOffload != b.TxOffload || a.PktLen != b.PktLen || a.DataLen != b.DataLen || a.DataOff() != b.DataOff() {
			t.Fatalf("%x\nand\n%x\n%+v\n%+v", a.Data()[:header], b.Data()[:header], *a, *b)
		}
	}
}

func TestRunIsTranslatedAsItsSegmentsAre(t *testing.T) {
	const burst = 12
	arena, err := mbuf.NewArena(2*burst, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	ms := make([]*mbuf.Mbuf, 2*burst)
	mbuf.NewCache(arena).AllocBurst(ms)
	rng := rand.New(rand.NewPCG(9, 10))
	type noted struct {
		_ [3]uint64 // a Moved need not lie at the beginning of what is noted of a packet
		Moved
		_ uint64
	}
	for range 2000 {
		header := plainHead + tsLen*rng.IntN(2)
		n := 1 + rng.IntN(burst)
		var pkts [2][burst]Packet
		var moved [2][burst]noted
		for i := range burst {
			off, at, size := 30+rng.IntN(200), 100+rng.IntN(200), rng.IntN(300)
			tr := Translation{Seq: rng.Uint32(), Ack: rng.Uint32(), Win: uint16(rng.Uint32()), Flags: uint8(rng.Uint32()), TSVal: rng.Uint32(), TSEcr: rng.Uint32()}
			for w := range pkts {
				m := ms[2*i+w]
				if w == 0 {
					for j := range m.Buf()[:700] {
						m.Buf()[j] = byte(rng.Uint32())
					}
				} else {
					copy(m.Buf()[:700], ms[2*i].Buf()[:700])
				}
				m.SetBounds(off, header+size)
				m.OlFlags, m.TxOffload = 0xffff_ffff_ffff_ffff, 0
				pkts[w][i].M = m
				moved[w][i].Moved = Moved{m, at, size, tr}
			}
		}
		const stride = unsafe.Sizeof(noted{})
		ahead := AheadOf(pkts[0][:burst-rng.IntN(burst-n+1)], uintptr(unsafe.Pointer(&pkts)), 104)
		translateAll(&moved[0][0].Moved, stride, n, header, ahead)
		translateAllGo(&moved[1][0].Moved, stride, n, header)
		for i := range burst {
			a, b := ms[2*i], ms[2*i+1]
			if !bytes.Equal(a.Buf()[:700], b.Buf()[:700]) || a.OlFlags != b.OlFlags || a.TxOffload != b.TxOffload || a.PktLen != b.PktLen ||
				a.DataLen != b.DataLen || a.DataOff() != b.DataOff() {
				t.Fatalf("%d of %d: %x\nand\n%x\n%+v\n%+v", i, n, a.Data()[:header], b.Data()[:header], *a, *b)
			}
		}
	}
}
