package packet

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"linecrypt/dataplane/mbuf"
)

// commonSegment builds a segment in a random place of a buffer: IPv4 or IPv6, with and without VLAN tag and timestamps.
func commonSegment(t *testing.T, rng *rand.Rand, m *mbuf.Mbuf, ts bool) *Packet {
	t.Helper()
	tpl := Template{L2Len: 14, Ver: 4, TTL: 64, SrcPort: uint16(rng.Uint32()), DstPort: uint16(rng.Uint32()), DF: uint8(rng.IntN(2))}
	at := 12
	if rng.IntN(2) == 0 {
		tpl.L2Len, at = 18, 16
		tpl.L2[12], tpl.L2[13], tpl.L2[15] = 0x81, 0, 5
	}
	tpl.L2[at], tpl.L2[at+1] = 0x08, 0
	if rng.IntN(2) == 0 {
		tpl.Ver = 6
		tpl.L2[at], tpl.L2[at+1] = 0x86, 0xdd
	}
	for i := range tpl.Src {
		tpl.Src[i], tpl.Dst[i] = byte(rng.Uint32()), byte(rng.Uint32())
	}
	p := new(Packet)
	seg := Seg{Seq: rng.Uint32(), Ack: rng.Uint32(), Win: uint16(rng.Uint32()), Flags: FlagACK, HasTS: ts, TSVal: rng.Uint32(), TSEcr: rng.Uint32()}
	if !p.Build(m, &tpl, &seg, rng.IntN(1400)) {
		t.Fatal("build")
	}
	for i := range p.PayloadBytes() {
		p.PayloadBytes()[i] = byte(rng.Uint32())
	}
	p.Finish(false)
	if p.Parse(m) != TCP {
		t.Fatalf("parsed as %v", p.Class)
	}
	return p
}

func TestTranslateWritesWhatResumeAndFinishDo(t *testing.T) {
	arena, err := mbuf.NewArena(2, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	cache := mbuf.NewCache(arena)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		ts, offload := rng.IntN(2) == 0, rng.IntN(2) == 0
		a, b := cache.Alloc(), cache.Alloc()
		p := commonSegment(t, rng, a, ts)
		if !p.CommonOptions(ts) || p.CommonOptions(!ts) {
			t.Fatalf("%d: options %+v are not seen as what they are (timestamps %v)", i, p.Opt, ts)
		}
		p.NoteHeaders()
		b.SetBounds(a.DataOff(), int(a.DataLen))
		copy(b.Data(), a.Data())
		b.TxOffload, b.OlFlags = a.TxOffload, a.OlFlags
		n, shift := rng.IntN(1400), []int{-4, 0, 4}[rng.IntN(3)]
		tr := Translation{Seq: rng.Uint32(), Ack: rng.Uint32(), Win: uint16(rng.Uint32()), Flags: FlagACK | FlagPSH, TSVal: rng.Uint32(), TSEcr: rng.Uint32()}

		var full Packet
		head := append([]byte(nil), a.Data()[:p.Payload]...)
		a.SetBounds(a.DataOff()+shift, int(a.DataLen))
		copy(a.Data(), head)
		payload := append([]byte(nil), b.Buf()[b.DataOff()+int(p.Payload)+shift:][:n]...)
		copy(a.Buf()[a.DataOff()+int(p.Payload):], payload)
		if !full.Resume(a, n) {
			t.Fatal("resume")
		}
		if ts {
			full.SetTimestamps(tr.TSVal, tr.TSEcr)
		}
		full.SetTCP(tr.Seq, tr.Ack, tr.Win, tr.Flags, 0)
		full.Finish(offload)

		var h Common
		ok := h.Read(b)
		if !ok || h.Payload != int(p.Payload) {
			t.Fatalf("%d: headers %+v, ok %v", i, h, ok)
		}
		at := b.DataOff() + int(p.Payload) + shift
		h.Translate(b, at, n, &tr)
		copy(b.Buf()[at:], payload)
		if !offload {
			CompleteSum(b)
		}
		if !bytes.Equal(a.Data(), b.Data()) || a.OlFlags != b.OlFlags || a.TxOffload != b.TxOffload && offload {
			t.Fatalf("%d: %x flags %x offload %x, want %x flags %x offload %x", i, b.Data(), b.OlFlags, b.TxOffload, a.Data(), a.OlFlags, a.TxOffload)
		}
		cache.Free(a)
		cache.Free(b)
	}
}

func TestOnlyTimestampsInTheirUsualPlaceAreCommon(t *testing.T) {
	cases := []struct {
		options []byte
		ts      bool
	}{
		{[]byte{8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1}, true},
		{[]byte{1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1}, true},
		{[]byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1, 1, 1}, true},
		{[]byte{1, 1, 1, 1}, false},
		{[]byte{1, 1, 5, 10, 0, 0, 0, 1, 0, 0, 0, 2}, true},
		{[]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, true},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%x", c.options), func(t *testing.T) {
			p := Packet{L4: 34, Payload: uint16(54 + len(c.options))}
			p.Opt.parse(c.options, 54)
			if p.CommonOptions(c.ts) {
				t.Errorf("%+v count as common", p.Opt)
			}
		})
	}
}

func TestHeadersThatWereNotNotedAreNotTaken(t *testing.T) {
	arena, err := mbuf.NewArena(1, 128)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	m := mbuf.NewCache(arena).Alloc()
	m.SetBounds(16, 100)
	for _, o := range []uint64{
		0, ^uint64(0), 14 | 34<<noteL4, 14 | 34<<noteL4 | 234<<notePayload, 14 | 20<<noteL4 | 40<<notePayload,
		14 | 34<<noteL4 | 154<<notePayload, 14 | 34<<noteL4 | 54<<notePayload, // a version other than 4 needs 40 bytes
	} {
		m.TxOffload = o
		var h Common
		if h.Read(m) {
			t.Errorf("lengths %#x were taken as %+v", o, h)
		}
	}
}
