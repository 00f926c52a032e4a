package server

import (
	"context"
	"encoding/binary"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// withSessions is a server with many sessions of a host.
func withSessions(t *testing.T, n int, host [16]byte) (*Server, *plane) {
	t.Helper()
	p := newPlane(t, t.TempDir(), 1)
	o := peered(t, withPeer(t, ""), p.dir)
	o.OpenSessions = func(s *shm.Segment) (*sessiontable.Table, error) {
		return sessiontable.OpenWriter(sessiontable.Path(p.dir, "gw"), sessiontable.Options{Capacity: 2 * n, Instance: s.Nonce(), Group: -1})
	}
	s, _ := run(t, o)
	eventually(t, "attached", func() bool { return p.seg.ControlPlaneAnswers() && p.seg.ControlPlaneRuns() })
	if err := s.do(func() {
		for i := range n {
			e := sessiontable.Entry{Index: 1, Gen: 1}
			binary.BigEndian.PutUint64(e.SessionID[1:], uint64(i))
			e.Tuple.Inside, e.Tuple.Outside = host, [16]byte{10: 0xff, 11: 0xff, 12: 198, 13: 51, 15: 1}
			e.Tuple.InsidePort, e.Tuple.OutsidePort = uint16(i+1), 443
			if err := s.sessions.Insert(&e); err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return s, p
}

func TestKeysAreExchangedWhileOneUserAsksAllThatHeMay(t *testing.T) {
	own := ownAddress(t)
	s, p := withSessions(t, 60_000, own)
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	go s.ServeApplications(ctx, l)
	var askers sync.WaitGroup
	defer askers.Wait()
	defer stop()
	for i := range maxApplicationsUser {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		q := wire.Request{
			Verb: wire.Flush, Local: wire.Endpoint{Addr: own, Port: uint16(i + 1)},
			Remote: wire.Endpoint{Addr: [16]byte{10: 0xff, 11: 0xff, 12: 198, 13: 51, 15: 1}, Port: 443},
		}
		askers.Go(func() {
			defer c.Close()
			b := q.Encode()
			for reply := make([]byte, 64); ; {
				if _, err := c.Write(b[:]); err != nil {
					return
				}
				if _, err := c.Read(reply); err != nil {
					return
				}
			}
		})
	}
	eventually(t, "questions", func() bool { return s.events.applicationsAsked.Load() > maxApplicationsUser })
	var took []time.Duration
	for i := range 20 {
		q := p.from(0, 1, 1, uint16(1000+i), keysFor(t, tcpcrypt.ECDHECurve25519))
		begin := time.Now()
		p.call(0, q, shm.Keys)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	if quick := took[len(took)/4]; quick > 250*time.Millisecond { // on a busy machine many take longer
		t.Errorf("key exchanges take %v and more", quick)
	}
}

func TestHeartbeatGoesOnWhileAllSessionsAreLookedAt(t *testing.T) {
	s, _ := withSessions(t, 3*beatPer, [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1})
	for i, look := range []func(){s.retell, s.reconcile} { // in this order: the latter finds that they are over
		if err := s.do(func() {
			was := s.seg.ControlPlane().Beat
			look()
			if s.seg.ControlPlane().Beat == was {
				t.Errorf("look %d: no sign of life", i)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}
