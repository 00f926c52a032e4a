package trace

import (
	"errors"
	"testing"
	"unsafe"
)

func newRegion(t *testing.T) Region {
	t.Helper()
	mem := make([]uint64, Size/8+1)
	r, err := Attach(unsafe.Slice((*byte)(unsafe.Pointer(&mem[0])), Size))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func v4(a, b, c, d byte) [16]byte { return [16]byte{10: 0xff, 11: 0xff, 12: a, 13: b, 14: c, 15: d} }

func TestFilterFitsBothDirectionsOfWhatItNames(t *testing.T) {
	host, net, far, other := v4(10, 0, 0, 1), v4(10, 0, 0, 0), v4(192, 0, 2, 7), v4(10, 1, 0, 1)
	connection := Filter{A: End{Addr: host, Bits: 128, Port: 4000}, B: End{Addr: far, Bits: 128, Port: 80}}
	address := Filter{A: End{Addr: host, Bits: 128}}
	prefix := Filter{A: End{Addr: net, Bits: 96 + 12}}
	odd := Filter{A: End{Addr: net, Bits: 96 + 15}}
	service := Filter{B: End{Port: 80}}
	for _, c := range []struct {
		name             string
		f                *Filter
		src, dst         [16]byte
		srcPort, dstPort uint16
		want             bool
	}{
		{"connection", &connection, host, far, 4000, 80, true},
		{"connection, backwards", &connection, far, host, 80, 4000, true},
		{"connection, another port", &connection, host, far, 4001, 80, false},
		{"connection, ports exchanged", &connection, host, far, 80, 4000, false},
		{"address", &address, far, host, 1, 2, true},
		{"address without ports", &address, host, far, 0, 0, true},
		{"another address", &address, far, other, 1, 2, false},
		{"prefix", &prefix, other, far, 1, 2, true},
		{"prefix that ends one bit short of the difference", &odd, other, far, 1, 2, true},
		{"outside of the prefix", &prefix, far, far, 1, 2, false},
		{"port", &service, host, far, 4000, 80, true},
		{"another port", &service, host, far, 4000, 81, false},
		{"everything", &Filter{}, host, far, 0, 0, true},
	} {
		if got := c.f.Fits(&c.src, &c.dst, c.srcPort, c.dstPort); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	longer := Filter{A: End{Addr: net, Bits: 96 + 16}}
	if longer.Fits(&other, &far, 1, 2) {
		t.Error("a bit that counts differs")
	}
}

func TestTapIsOffUntilATraceBeginsAndAfterItsEnd(t *testing.T) {
	r := newRegion(t)
	tap := NewTap(r)
	none := NewTap(Region{})
	if tap.Look(1) || none.Look(1) {
		t.Fatal("on before there is a trace")
	}
	r.Begin(&Filter{Packets: 2}, 100)
	src := v4(10, 0, 0, 1)
	if !tap.Look(50) || !tap.Fits(&src, &src, 1, 2) {
		t.Fatal("off during a trace")
	}
	if first, second, third := tap.Take(), tap.Take(), tap.Take(); !first || !second || third {
		t.Error("not two packets")
	}
	if tap.Look(100) {
		t.Error("on at the deadline")
	}
	if tap.Fits(&src, &src, 1, 2) {
		t.Error("packets fit after the deadline")
	}
	r.Begin(&Filter{Packets: 1}, 300)
	if !tap.Look(200) || !tap.Take() || tap.Take() {
		t.Error("the next trace does not begin anew")
	}
	r.Extend(400)
	if !tap.Look(350) || tap.Take() {
		t.Error("a trace whose end is moved on does not go on as it was")
	}
	r.End()
	if tap.Look(350) {
		t.Error("on after its end")
	}
}

func TestReaderGetsEveryEventInOrderOrIsToldHowManyItLost(t *testing.T) {
	r := newRegion(t)
	tap := NewTap(r)
	r.Begin(&Filter{Packets: 1}, 100)
	tap.Look(1)
	tap.Write(&Event{Number: 99})
	d := NewReader(r)
	var e Event
	if ok, _ := d.Next(&e); ok {
		t.Fatal("an event from before")
	}
	write := func(from, to uint64) {
		for i := from; i < to; i++ {
			tap.Write(&Event{Number: i, Station: Tx})
		}
	}
	write(0, Events)
	for i := range uint64(Events) {
		if ok, lost := d.Next(&e); !ok || lost != 0 || e.Number != i || e.Station != Tx {
			t.Fatalf("event %d: %v, %d lost, %+v", i, ok, lost, e)
		}
	}
	write(Events, 2*Events+10)
	if ok, lost := d.Next(&e); !ok || lost != 10 || e.Number != Events+10 {
		t.Errorf("%v, %d lost, number %d", ok, lost, e.Number)
	}
}

func TestMemoryThatIsTooSmallIsRefused(t *testing.T) {
	if _, err := Attach(make([]byte, 64)); !errors.Is(err, ErrMemory) {
		t.Error(err)
	}
}
