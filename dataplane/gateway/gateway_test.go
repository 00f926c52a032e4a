package gateway

import (
	"context"
	"testing"
	"time"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/memory"
	"linecrypt/flowtable"
)

func TestSegmentTellsKindsLinksAndPolling(t *testing.T) {
	arena, err := mbuf.NewArena(1024, mbuf.DefaultDataRoom)
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
	cfg := config.Default()
	cfg.Flows.Max, cfg.Workers.Poll, cfg.Workers.IdleSleep = 64, config.Adaptive, time.Millisecond
	g, err := New(Options{Config: cfg, SegmentDir: t.TempDir(), Inside: inside, Outside: outside, Caches: caches, Cores: []int{-1}, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	outside.SetLink(port.LinkGone)
	ctx, stop := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- g.Run(ctx, func() { close(ready) }) }()
	<-ready
	seg := g.Segment()
	if a, b, poll := seg.PortKind(flowtable.Inside), seg.PortKind(flowtable.Outside), seg.Poll(); a != "memory" || b != "memory" || poll != "adaptive" {
		t.Errorf("kinds %q and %q, polling %q", a, b, poll)
	}
	if a, b := seg.Link(flowtable.Inside), seg.Link(flowtable.Outside); a != shm.LinkUp || b != shm.LinkGone {
		t.Errorf("links %v and %v, not up and gone", a, b)
	}
	outside.SetLink(port.LinkUp)
	for end := time.Now().Add(10 * time.Second); seg.Link(flowtable.Outside) != shm.LinkUp; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a link that came up is not noticed")
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := g.Close(); err != nil {
		t.Error(err)
	}
}
