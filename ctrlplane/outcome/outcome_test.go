package outcome

import (
	"errors"
	"testing"
	"unsafe"

	"linecrypt/flowtable"
)

func newRegion(t *testing.T) Region {
	t.Helper()
	words := make([]uint64, (Size+7)/8)
	r, err := Attach(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), len(words)*8))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// note is one about a far end in 10.x.y.0/24.
func note(kind Kind, x, y byte, port uint16) *Note {
	return &Note{Kind: kind, Key: flowtable.Key{Outside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: x, 14: y, 15: 1}, OutsidePort: port}}
}

func TestReaderGetsWhatIsWrittenFromThenOnInOrder(t *testing.T) {
	r := newRegion(t)
	p := NewPen(r)
	p.Write(note(Plain, 0, 0, 1))
	d := NewReader(r)
	if notes, lost := d.Read(); len(notes) != 0 || lost != 0 {
		t.Fatalf("%v, %d lost", notes, lost)
	}
	for port := range uint16(100) {
		p.Write(note([]Kind{Plain, Refused, Over}[port%3], byte(port), 0, port))
	}
	notes, lost := d.Read()
	if len(notes) != 100 || lost != 0 {
		t.Fatalf("%d notes, %d lost", len(notes), lost)
	}
	for i, n := range notes {
		if int(n.Key.OutsidePort) != i || n.Kind != []Kind{Plain, Refused, Over}[i%3] {
			t.Fatalf("note %d is %+v", i, n)
		}
	}
	if notes, lost := d.Read(); len(notes) != 0 || lost != 0 {
		t.Errorf("again: %v, %d lost", notes, lost)
	}
}

func TestSlowReaderIsToldHowManyNotesItMissed(t *testing.T) {
	r := newRegion(t)
	p, d := NewPen(r), NewReader(r)
	for range Plains + 7 {
		p.Write(note(Plain, 0, 0, 1))
	}
	if notes, lost := d.Read(); len(notes) != Plains || lost != 7 {
		t.Errorf("%d notes, %d lost", len(notes), lost)
	}
}

func TestANetworkWithManyRefusalsHidesNoneOfOthers(t *testing.T) {
	r := newRegion(t)
	p := NewPen(r)
	victim := note(Refused, 1, 1, 1)
	p.Write(victim)
	flood := byte(2)
	for p.partOf(&note(Refused, 2, flood, 0).Key.Outside) == p.partOf(&victim.Key.Outside) {
		flood++
	}
	for range 10_000 {
		p.Write(note(Refused, 2, flood, 2))
		p.Write(note(Plain, 1, 1, 3))
	}
	refused := r.Refused()
	if len(refused) != 1+PerPart || refused[0] != *victim {
		t.Errorf("%d refused, the oldest %+v", len(refused), refused[0])
	}
}

func TestNetworksAreSpreadOverTheParts(t *testing.T) {
	p := NewPen(newRegion(t))
	v4, v6 := map[uint32]bool{}, map[uint32]bool{}
	for i := range 4096 {
		v4[p.partOf(&note(Refused, byte(i>>8), byte(i), 0).Key.Outside)] = true
		v6[p.partOf(&[16]byte{0x20, 1, 0xd, 0xb8, 6: byte(i >> 8), 7: byte(i)})] = true
	}
	if len(v4) != Parts || len(v6) != Parts {
		t.Errorf("%d and %d of %d", len(v4), len(v6), Parts)
	}
	a, b := [16]byte{0x20, 1, 15: 1}, [16]byte{0x20, 1, 8: 9, 15: 2}
	if p.partOf(&a) != p.partOf(&b) {
		t.Error("hosts of one /64 are in two parts")
	}
}

func TestWhichNetworksShareAPartDiffersFromPenToPen(t *testing.T) {
	r := newRegion(t)
	p, q := NewPen(r), NewPen(r)
	same := 0
	const networks = 4096
	for i := range networks {
		if addr := &note(Refused, byte(i>>8), byte(i), 0).Key.Outside; p.partOf(addr) == q.partOf(addr) {
			same++
		}
	}
	if same > networks/Parts*2 {
		t.Errorf("%d of %d networks are in the same part", same, networks)
	}
}

func TestWritingAllocatesNothing(t *testing.T) {
	p, n := NewPen(newRegion(t)), note(Refused, 1, 2, 3)
	if got := testing.AllocsPerRun(100, func() { p.Write(n) }); got != 0 {
		t.Errorf("%v allocations", got)
	}
	none := NewPen(Region{})
	none.Write(n)
	if notes, _ := NewReader(Region{}).Read(); notes != nil || (Region{}).Refused() != nil {
		t.Error("something of nothing")
	}
}

func TestShortMemoryIsRefused(t *testing.T) {
	if _, err := Attach(make([]byte, Size-1)); !errors.Is(err, ErrMemory) {
		t.Error(err)
	}
}
