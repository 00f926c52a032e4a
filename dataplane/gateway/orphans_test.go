package gateway

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"unsafe"

	"linecrypt/bench/testenv"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port/memory"
	"linecrypt/flowtable"
)

func TestConnectionsThatAFarEndBelievesEncryptedOutliveTheirDataPlane(t *testing.T) {
	arena, err := mbuf.NewArena(64, mbuf.DefaultDataRoom)
	if err != nil {
		t.Fatal(err)
	}
	caches := []*mbuf.Cache{mbuf.NewCache(arena)}
	inside, _, err1 := memory.NewEnd("in", memory.Options{}, caches)
	outside, _, err2 := memory.NewEnd("out", memory.Options{}, caches)
	engine, err3 := cryptobatch.New("generic")
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	cfg, dir := config.Default(), t.TempDir()
	cfg.Flows.Max = 64
	g, err := New(Options{Config: cfg, SegmentDir: dir, Inside: inside, Outside: outside, Caches: caches, Cores: []int{-1}, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	part := g.Segment().Worker(0)
	table, err := flowtable.New(part.FlowMemory, part.Layout, [2]uint64{1, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	started := []flowtable.State{flowtable.ActiveInit, flowtable.ActiveKeys, flowtable.PassiveInit, flowtable.PassiveKeys, flowtable.Encrypted}
	want := append(slices.Clone(started), flowtable.PassiveAck, flowtable.Closing)
	for s := flowtable.Plain; s < flowtable.NumStates; s++ {
		k := flowtable.Key{InsidePort: uint16(s)}
		i, _ := table.Insert(&k, table.Hash(&k), 1)
		table.SetState(i, s)
		if slices.Contains(started, s) {
			table.Record(i).Flags |= flowtable.FlagStarted
		}
	}
	var got []flowtable.State
	for _, o := range orphans([]string{dir}, cfg.Name) {
		got = append(got, flowtable.State(o.Key.InsidePort))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v are remembered, not %v", got, want)
	}
	if len(orphans([]string{dir}, "nobody")) != 0 {
		t.Error("a segment that is not there has orphans")
	}
}

func TestNextDataPlaneResetsBothEndsOfWhatAKilledOneLeft(t *testing.T) {
	// Huge says whether the one that is killed and the one that follows lie in huge pages, of which there are enough for one of them.
	for name, huge := range map[string][2]bool{"ordinary pages": {}, "huge pages": {true, true}, "from huge pages": {true, false}, "to huge pages": {false, true}} {
		t.Run(name, func(t *testing.T) { testNextResets(t, huge) })
	}
}

func testNextResets(t *testing.T, huge [2]bool) {
	cfg, dir, mount := config.Default(), t.TempDir(), ""
	cfg.Flows.Max, cfg.Handshake.HalfOpen, cfg.Resumption.Cache = 64, 16, 64
	if huge[0] || huge[1] {
		mount = testenv.Hugetlbfs(t, 12)
	}
	engine, err := cryptobatch.New("generic")
	if err != nil {
		t.Fatal(err)
	}
	start := func(huge bool) (g *Gateway, inside, outside *memory.End) {
		var caches []*mbuf.Cache
		for range 2 {
			arena, err := mbuf.NewArena(256, mbuf.DefaultDataRoom)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { arena.Close() })
			caches = append(caches, mbuf.NewCache(arena))
		}
		in, inside, err1 := memory.NewEnd("in", memory.Options{}, caches)
		out, outside, err2 := memory.NewEnd("out", memory.Options{}, caches)
		o := Options{Config: cfg, SegmentDir: dir, Inside: in, Outside: out, Caches: caches, Cores: []int{-1, -1}, Engine: engine}
		if huge {
			o.HugeDirs = []string{mount}
		} else if mount != "" {
			o.StaleDirs = []string{mount}
		}
		g, err3 := New(o)
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Fatal(err)
		}
		if s := g.Segment(); s.HugePages() != huge {
			t.Fatalf("its segment of %d bytes lies in %s", s.Size(), s.Dir())
		}
		return g, inside, outside
	}
	dead, _, _ := start(huge[0])
	part := dead.Segment().Worker(1)
	table, err := flowtable.New(part.FlowMemory, part.Layout, [2]uint64{1, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	tpl := packet.Template{L2Len: 14, Ver: 4, TTL: 64, DF: 1, SrcPort: 5000, DstPort: 80,
		Src: [16]byte{10: 255, 11: 255, 12: 10, 15: 1}, Dst: [16]byte{10: 255, 11: 255, 12: 10, 15: 2}}
	tpl.L2[12] = 8
	k := flowtable.Key{Inside: tpl.Src, Outside: tpl.Dst, InsidePort: 5000, OutsidePort: 80}
	i, _ := table.Insert(&k, table.Hash(&k), 1)
	table.SetState(i, flowtable.Encrypted)
	r := table.Record(i)
	*(*packet.Template)(unsafe.Pointer(&r.Rare.ToWire)) = tpl
	r.Host.ISN, r.Egress.WAck, r.Egress.WNext = 100, 60, 60
	r.Peer.ISN, r.Ingress.HostAck, r.Ingress.PNext = 200, 7, 7

	if err := dead.seg.Close(); err != nil { // as the kernel does
		t.Fatal(err)
	}
	next, inside, outside := start(huge[1])
	defer next.Close()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- next.Run(ctx, nil) }()
	for name, c := range map[string]struct {
		end *memory.End
		seq uint32
	}{"inside": {inside, 200 + 1 + 7}, "outside": {outside, 100 + 1 + 60}} {
		var b [256]byte
		if !c.end.Wait(t.Context().Done()) {
			t.Fatal("stopped")
		}
		n, _ := c.end.Collect(b[:])
		tcp := b[34:n]
		if seq := binary.BigEndian.Uint32(tcp[4:]); tcp[13]&packet.FlagRST == 0 || seq != c.seq {
			t.Errorf("%s: flags %#x, number %d, not a RST at %d", name, tcp[13], seq, c.seq)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
