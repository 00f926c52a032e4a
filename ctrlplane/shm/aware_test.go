package shm

import (
	"errors"
	"sync"
	"testing"

	"linecrypt/flowtable"
)

// control makes a segment and takes the control plane's part in it.
func control(t *testing.T) (data, ctrl *Segment) {
	t.Helper()
	dir := t.TempDir()
	data, err := Create(dir, Params{Name: "gw", Inside: "a", Outside: "b", Engine: "generic", Cores: []int{-1}, Flows: flowtable.Layout{Capacity: 64, Chunks: 4}, RequestRing: 128 << 10, ReplyRing: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { data.Close() })
	ctrl, err = OpenControl(dir, "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ctrl.Close() })
	return data, ctrl
}

func endpointOf(n int) AwareEndpoint {
	return AwareEndpoint{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 10, 14: byte(n >> 8), 15: byte(n)}, Port: uint16(1000 + n), Owner: uint64(n)}
}

func TestEndpointsAreAwareUntilTheyAreTakenOut(t *testing.T) {
	data, ctrl := control(t)
	const n = 200
	for i := range n {
		if e := endpointOf(i); data.Aware(&e.Addr, e.Port) || ctrl.SetAware(e) != nil || ctrl.SetAware(e) != nil || !data.Aware(&e.Addr, e.Port) {
			t.Fatalf("endpoint %d", i)
		}
	}
	for i := range n {
		if e := endpointOf(i); data.Aware(&e.Addr, e.Port+1) || data.Aware(&[16]byte{1}, e.Port) {
			t.Errorf("endpoint %d stands for others", i)
		}
	}
	if left := ctrl.MendAware(); len(left) != n {
		t.Errorf("%d endpoints left", len(left))
	}
	for i := range n {
		e := endpointOf(i)
		ctrl.ClearAware(e)
		ctrl.ClearAware(e)
		if data.Aware(&e.Addr, e.Port) {
			t.Errorf("endpoint %d is still aware", i)
		}
	}
	e := endpointOf(1)
	e.Fresh = true
	if ctrl.SetAware(e) != nil || !data.Fresh(&e.Addr, e.Port) || data.Aware(&e.Addr, e.Port) {
		t.Error("what an endpoint wants of resumption is taken for the bit")
	}
	if left := ctrl.MendAware(); len(left) != 1 || left[0] != e {
		t.Errorf("left is %+v", left)
	}
	if ctrl.ClearAware(e); data.Fresh(&e.Addr, e.Port) {
		t.Error("it is still there")
	}
	if data.hdr.aware.count.Load() != 0 {
		t.Errorf("%d endpoints are counted", data.hdr.aware.count.Load())
	}
}

func TestFullTableOfEndpointsRefusesAndDataPlaneMayNotWrite(t *testing.T) {
	data, ctrl := control(t)
	if err := data.SetAware(endpointOf(1)); !errors.Is(err, ErrAwareFull) {
		t.Errorf("the data plane writes: %v", err)
	}
	var err error
	n := 0
	for n < AwareEndpoints && err == nil {
		if err = ctrl.SetAware(endpointOf(n)); err == nil {
			n++
		}
	}
	if err == nil {
		err = ctrl.SetAware(endpointOf(n))
	}
	if !errors.Is(err, ErrAwareFull) || n < AwareEndpoints/2 {
		t.Errorf("after %d: %v", n, err)
	}
	if got := data.hdr.aware.count.Load(); got != uint64(n) {
		t.Errorf("%d endpoints are counted, of %d", got, n)
	}
}

func TestSlotThatAControlPlaneLeftHalfWrittenIsMended(t *testing.T) {
	data, ctrl := control(t)
	e := endpointOf(1)
	if err := ctrl.SetAware(e); err != nil {
		t.Fatal(err)
	}
	for i := range ctrl.hdr.aware.slots {
		if a := &ctrl.hdr.aware.slots[i]; a.port.Load() != 0 {
			a.seq.Add(1)
		}
	}
	if data.Aware(&e.Addr, e.Port) {
		t.Error("half an endpoint counts")
	}
	if left := ctrl.MendAware(); len(left) != 0 {
		t.Errorf("%v", left)
	}
	if err := ctrl.SetAware(e); err != nil || !data.Aware(&e.Addr, e.Port) {
		t.Errorf("the slot is of no use any more: %v", err)
	}
}

func TestReaderNeverMixesTwoEndpoints(t *testing.T) {
	data, ctrl := control(t)
	a, b := endpointOf(1), endpointOf(2)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for range 20_000 {
			_ = ctrl.SetAware(a)
			ctrl.ClearAware(a)
			_ = ctrl.SetAware(b)
			ctrl.ClearAware(b)
		}
	}()
	for range 100_000 {
		if data.Aware(&a.Addr, b.Port) || data.Aware(&b.Addr, a.Port) {
			t.Error("an endpoint that nobody entered is aware")
			break
		}
	}
	wg.Wait()
}

func TestLookingForAnEndpointAllocatesNothing(t *testing.T) {
	data, ctrl := control(t)
	e := endpointOf(1)
	_ = ctrl.SetAware(e)
	if n := testing.AllocsPerRun(100, func() { data.Aware(&e.Addr, e.Port); data.Aware(&e.Addr, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestEndpointsOfOneAddressDoNotCrowdOutAnother(t *testing.T) {
	_, ctrl := control(t)
	wanted := endpointOf(443)
	// Ports that differ in high bits alone, and those that a hash without a key brings to where the other one may lie.
	unkeyed := func(e AwareEndpoint) uint64 {
		hi, lo := awareWords(&e.Addr)
		return ((hi ^ lo*0x9e3779b97f4a7c15 ^ uint64(e.word())<<32) * 0xff51afd7ed558ccd) >> 32
	}
	entered := 0
	for port := range 1 << 16 {
		e := wanted
		e.Port = uint16(port)
		near := (unkeyed(e)-unkeyed(wanted))%AwareEndpoints < 2 || (e.Port-wanted.Port)%AwareEndpoints == 0
		if e.Port == wanted.Port || !near || entered == 128 {
			continue
		}
		if ctrl.SetAware(e) == nil {
			entered++
		}
	}
	if err := ctrl.SetAware(wanted); err != nil {
		t.Errorf("behind %d endpoints of %d: %v", entered, AwareEndpoints, err)
	}
}
