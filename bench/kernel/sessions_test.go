package kernel

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/session"
)

// finder looks sessions up as an application on this machine does, at one gateway.
func (b *bed) finder(g *topology.Gateway) *session.Finder {
	b.t.Helper()
	b.t.Setenv(instance.EnvRunDir, b.top.RunDir())
	f, err := session.Open(g.Name)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { f.Close() })
	return f
}

func TestApplicationsAtBothEndsGetTheSameSessionID(t *testing.T) {
	b := gateways(t, topology.Packet)
	for _, f := range families {
		client, srv := b.mustConnect(f)
		sa, errA := b.finder(b.a).Of(client)
		sb, errB := b.finder(b.b).Of(srv)
		if errA != nil || errB != nil {
			t.Fatalf("%v: %v, %v", f, errA, errB)
		}
		if sa.ID != sb.ID || sa.Role != session.RoleA || sb.Role != session.RoleB || !sa.Opener || sb.Opener || sa.TEP != sb.TEP || sa.AEAD != sb.AEAD {
			t.Errorf("%v:\n%+v\n%+v", f, sa, sb)
		}
		if string(sa.Transcript()) != string(sb.Transcript()) || len(sa.ENOB) == 0 {
			t.Errorf("%v: transcripts % x and % x", f, sa.Transcript(), sb.Transcript())
		}
		if s := b.wantSameSession(client); s.SessionID != sa.ID.String() {
			t.Errorf("%v: listed is %s, the application has %s", f, s.SessionID, sa.ID)
		}
	}
}

func TestApplicationIsToldOfPlainConnectionsAndOfThoseThatAreOver(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet)
	b.check(b.top.Plain(topology.SideB))
	f := b.finder(b.a)
	client, srv := b.mustConnect(ipv4)
	if _, err := f.Of(client); !errors.Is(err, session.ErrNotEncrypted) {
		t.Errorf("plain connection: %v", err)
	}
	local, remote, err := session.Addresses(client)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lookup(netip.AddrPortFrom(local.Addr(), local.Port()^1), remote); !errors.Is(err, session.ErrUnknown) || errors.Is(err, session.ErrUnavailable) {
		t.Errorf("no connection: %v", err)
	}
	client.Close()
	srv.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		if _, err = f.Lookup(local, remote); errors.Is(err, session.ErrUnknown) || ctx.Err() != nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if !errors.Is(err, session.ErrUnknown) {
		t.Errorf("a connection that is over: %v", err)
	}
}
