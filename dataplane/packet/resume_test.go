package packet

import (
	"bytes"
	"testing"

	"linecrypt/dataplane/mbuf"
)

func TestResumeDescribesTheSegmentThatWasParsed(t *testing.T) {
	arena, err := mbuf.NewArena(4, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	cache := mbuf.NewCache(arena)
	for _, ver := range []uint8{4, 6} {
		tpl := Template{L2Len: 18, Ver: ver, TTL: 64, SrcPort: 7, DstPort: 9, DF: 1}
		tpl.Src[15], tpl.Dst[15] = 1, 2
		tpl.L2[12], tpl.L2[13], tpl.L2[17] = 0x81, 0, 5
		if ver == 4 {
			tpl.L2[16], tpl.L2[17] = 0x08, 0
		} else {
			tpl.L2[16], tpl.L2[17] = 0x86, 0xdd
		}
		m := cache.Alloc()
		var built Packet
		seg := Seg{Seq: 1, Ack: 2, Win: 3, Flags: FlagACK, HasTS: true, TSVal: 4, TSEcr: 5}
		if !built.Build(m, &tpl, &seg, 100) {
			t.Fatal("build")
		}
		copy(built.PayloadBytes(), bytes.Repeat([]byte{0xaa}, 100))
		built.Finish(false)
		var parsed, resumed Packet
		if got := parsed.Parse(m); got != TCP {
			t.Fatalf("parsed as %v", got)
		}
		parsed.NoteHeaders()
		if !resumed.Resume(m, 60) {
			t.Fatal("resume")
		}
		resumed.SetTCP(10, 20, 30, FlagACK, 0)
		resumed.Finish(false)
		var again Packet
		if again.Parse(m) != TCP || again.PayloadLen != 60 || again.Seq != 10 || !again.VerifyTCP() || !again.VerifyIPv4() {
			t.Fatalf("version %d: resumed segment came out as %+v", ver, again)
		}
		if resumed.Opt.TSVal != 4 {
			t.Fatalf("options were not read: %+v", resumed.Opt)
		}
		cache.Free(m)
	}
}

func TestResumeRefusesLengthsThatLeaveTheBuffer(t *testing.T) {
	arena, err := mbuf.NewArena(1, 128)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	m := mbuf.NewCache(arena).Alloc()
	var p Packet
	for _, o := range []uint64{
		0, ^uint64(0), 14 | 34<<noteL4, 14 | 34<<noteL4 | 234<<notePayload, 14 | 20<<noteL4 | 40<<notePayload, 14 | 34<<noteL4 | 154<<notePayload,
	} {
		m.TxOffload = o
		if p.Resume(m, 10) {
			t.Errorf("lengths %#x were taken", o)
		}
	}
}

// longExtensions are IPv6 destination options of n bytes, a multiple of 8 up to 2,048, behind which TCP follows.
func longExtensions(n int) []byte {
	b := make([]byte, n)
	b[0], b[1] = 6, byte(n/8-1)
	for at := 2; at < n; {
		pad := min(n-at, 257)
		if n-at-pad == 1 {
			pad--
		}
		b[at], b[at+1] = 1, byte(pad-2)
		at += pad
	}
	return b
}

func TestLongExtensionHeadersSurviveResumeAndFinish(t *testing.T) {
	for _, n := range []int{504, 512, 1024, 1920} {
		for _, offload := range []bool{false, true} {
			f := frame{v6: true, ext: longExtensions(n), extNext: 60, flags: FlagACK, tcpOpts: timestamps(), payload: []byte("payload")}
			p := parsed(t, f.bytes())
			if p.Class != TCP || int(p.L4-p.L3) != 40+n {
				t.Fatalf("%d bytes: parsed as %v, header of %d", n, p.Class, p.L4-p.L3)
			}
			p.NoteHeaders()
			var q Packet
			if !q.Resume(p.M, 3) {
				t.Fatalf("%d bytes: not resumed", n)
			}
			q.SetTCP(1, 2, 3, FlagACK, 0)
			q.Finish(offload)
			wide := 40+n > maxL3Len
			if set := q.M.OlFlags&mbuf.TxTCPCksum != 0; set != (offload && !wide) {
				t.Errorf("%d bytes, offload %v: left to the port: %v", n, offload, set)
			}
			if (!offload || wide) && !q.VerifyTCP() {
				t.Errorf("%d bytes: the checksum is wrong", n)
			}
		}
	}
}
