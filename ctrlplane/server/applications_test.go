package server

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/session"
	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// withApplications is a server whose session table and applications socket lie where applications look for them.
func withApplications(t *testing.T) (*Server, *plane, *session.Finder) {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "lc-apps-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	t.Setenv(instance.EnvRunDir, base)
	in, err := instance.Open("gw")
	if err != nil {
		t.Fatal(err)
	}
	s, p := attached(t)
	if err := os.Link(sessiontable.Path(p.dir, "gw"), in.SessionTablePath()); err != nil {
		t.Skipf("%s and %s are on different file systems", p.dir, base)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: in.Applications(), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.ServeApplications(ctx, l) }()
	t.Cleanup(func() { stop(); <-done })
	f, err := session.Open("gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return s, p, f
}

// ends returns the two addresses of a connection.
func ends(k *flowtable.Key) (local, remote netip.AddrPort) {
	return netip.AddrPortFrom(netip.AddrFrom16(k.Inside).Unmap(), k.InsidePort), netip.AddrPortFrom(netip.AddrFrom16(k.Outside).Unmap(), k.OutsidePort)
}

func TestApplicationsAreToldWhatTheGatewayDoesWithAConnection(t *testing.T) {
	_, p, f := withApplications(t)
	for state, want := range map[flowtable.State]error{
		flowtable.Plain: session.ErrNotEncrypted, flowtable.PlainSyn: session.ErrNotEncrypted,
		flowtable.ActiveSyn: session.ErrNotConnected, flowtable.PassiveKeys: session.ErrNotConnected,
		flowtable.Closing: session.ErrUnknown,
	} {
		_, k := p.flow(int(state)%2, 1000+uint16(state), state)
		if _, err := f.Lookup(ends(&k)); !errors.Is(err, want) || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%v: %v", state, err)
		}
	}
	_, k := p.flow(0, 5, flowtable.Plain)
	local, remote := ends(&k)
	if _, err := f.Lookup(remote, local); !errors.Is(err, session.ErrUnknown) {
		t.Errorf("the ends the wrong way round: %v", err)
	}
}

func TestPlainConnectionInAVLANIsFoundAndTwoAreAmbiguous(t *testing.T) {
	_, p, f := withApplications(t)
	enter := func(vlan uint32) (local, remote netip.AddrPort) {
		_, k := p.flow(0, 77, flowtable.Plain)
		p.lanes[0].flows.Remove(p.lanes[0].flows.Lookup(&k, p.lanes[0].flows.Hash(&k)))
		k.VLAN = vlan
		i, _ := p.lanes[1].flows.Insert(&k, p.lanes[1].flows.Hash(&k), 1)
		p.lanes[1].flows.SetState(i, flowtable.Plain)
		return ends(&k)
	}
	enter(5)
	local, remote := enter(9)
	if _, err := f.Lookup(local, remote); !errors.Is(err, session.ErrAmbiguous) {
		t.Errorf("in two VLANs: %v", err)
	}
	if _, err := f.LookupVLAN(local, remote, 9); !errors.Is(err, session.ErrNotEncrypted) {
		t.Errorf("in VLAN 9: %v", err)
	}
	if _, err := f.LookupVLAN(local, remote, 7); !errors.Is(err, session.ErrUnknown) {
		t.Errorf("in VLAN 7: %v", err)
	}
}

func TestWaitGoesOnUntilTheSessionExistsAndNoLongerThanItsContext(t *testing.T) {
	s, p, f := withApplications(t)
	ref, k := p.flow(0, 80, flowtable.PassiveKeys)
	local, remote := ends(&k)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Wait(ctx, local, remote); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, session.ErrNotConnected) {
		t.Fatalf("before there is a session: %v", err)
	}
	entry := sessiontable.Entry{Tuple: k, Role: flowtable.RoleB, TEP: 0xa3, AEAD: 1, SessionID: [33]byte{0x23, 32: 9}, Index: ref.Index, Gen: ref.Gen, PeerAware: true}
	time.AfterFunc(30*time.Millisecond, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.sessions.Insert(&entry)
	})
	got, err := f.Wait(context.Background(), local, remote)
	if err != nil || got.ID != entry.SessionID || got.TEP != 0x23 || got.Role != session.RoleB || !got.PeerAware || got.Instance != "gw" || got.Local != local {
		t.Errorf("%+v: %v", got, err)
	}
}

func TestUselessQuestionsEndTheSocketAndNothingElse(t *testing.T) {
	_, p, f := withApplications(t)
	in, err := instance.FindPublished("gw")
	if err != nil || len(in) != 1 {
		t.Fatal(in, err)
	}
	for _, nonsense := range [][]byte{{1}, make([]byte, wire.RequestSize), make([]byte, 60_000)} {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: in[0].Applications, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(nonsense)
		var b [64]byte
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, _ := c.Read(b[:])
		if a, err := wire.DecodeReply(b[:n]); err != nil || a != wire.Bad {
			t.Errorf("%d bytes: %v, %v", len(nonsense), a, err)
		}
		if n, _ := c.Read(b[:]); n != 0 {
			t.Errorf("%d bytes: the socket stays open", len(nonsense))
		}
		c.Close()
	}
	_, k := p.flow(0, 5, flowtable.Plain)
	if _, err := f.Lookup(ends(&k)); !errors.Is(err, session.ErrNotEncrypted) {
		t.Errorf("after that: %v", err)
	}
}

func TestOneUserCannotTakeAllSocketsOfApplications(t *testing.T) {
	s, _, _ := withApplications(t)
	in, err := instance.FindPublished("gw")
	if err != nil {
		t.Fatal(err)
	}
	for range maxApplicationsUser + 5 {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: in[0].Applications, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	eventually(t, "applications are turned away", func() bool { return s.events.applicationsRefused.Load() == 5 })
}
