package server

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/session/wire"
)

// app is an application's socket.
type app struct {
	t *testing.T
	c *net.UnixConn
}

func newApp(t *testing.T) app {
	t.Helper()
	in, err := instance.FindPublished("gw")
	if err != nil || len(in) != 1 {
		t.Fatal(in, err)
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: in[0].Applications, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return app{t, c}
}

func (a app) ask(q wire.Request) wire.Answer {
	a.t.Helper()
	b := q.Encode()
	_ = a.c.SetDeadline(time.Now().Add(patience))
	if _, err := a.c.Write(b[:]); err != nil {
		a.t.Fatal(err)
	}
	var reply [64]byte
	n, err := a.c.Read(reply[:])
	if err != nil {
		a.t.Fatal(err)
	}
	answer, err := wire.DecodeReply(reply[:n])
	if err != nil {
		a.t.Fatal(err)
	}
	return answer
}

// ownAddress returns an address of this machine that is no loopback's.
func ownAddress(t *testing.T) [16]byte {
	t.Helper()
	own, err := addressesOf(int32(os.Getpid()))
	if err != nil || len(own) == 0 {
		t.Skip("this machine has no address but the loopback's: ", err)
	}
	return own[0]
}

func TestEndpointIsAwareAsLongAsTheSocketIsOpenOnWhichThatWasAsked(t *testing.T) {
	_, p, _ := withApplications(t)
	addr := ownAddress(t)
	one, two := newApp(t), newApp(t)
	q := wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Addr: addr, Port: 4000}, Token: 1}
	if a := one.ask(q); a != wire.Done || !p.seg.Aware(&addr, 4000) || p.seg.Aware(&addr, 4001) {
		t.Fatalf("%v", a)
	}
	if a := two.ask(q); a != wire.Done {
		t.Fatalf("the same of another application: %v", a)
	}
	if a := one.ask(wire.Request{Verb: wire.ClearAware, Token: 1}); a != wire.Done || !p.seg.Aware(&addr, 4000) {
		t.Errorf("%v, or one application took back what another asked for", a)
	}
	two.c.Close()
	eventually(t, "the endpoint is not aware any more", func() bool { return !p.seg.Aware(&addr, 4000) })
}

func TestEndpointThatIsToResumeNothingIsAnotherWishThanTheBit(t *testing.T) {
	_, p, _ := withApplications(t)
	addr := ownAddress(t)
	a := newApp(t)
	local := wire.Endpoint{Addr: addr, Port: 4000}
	if got := a.ask(wire.Request{Verb: wire.SetFresh, Local: local, Token: 1}); got != wire.Done || !p.seg.Fresh(&addr, 4000) || p.seg.Aware(&addr, 4000) || p.seg.Fresh(&addr, 4001) {
		t.Fatalf("%v", got)
	}
	if got := a.ask(wire.Request{Verb: wire.SetAware, Local: local, Token: 2}); got != wire.Done || !p.seg.Fresh(&addr, 4000) || !p.seg.Aware(&addr, 4000) {
		t.Errorf("both: %v", got)
	}
	if got := a.ask(wire.Request{Verb: wire.ClearAware, Token: 1}); got != wire.Done || p.seg.Fresh(&addr, 4000) || !p.seg.Aware(&addr, 4000) {
		t.Errorf("taken back: %v", got)
	}
	a.c.Close()
	eventually(t, "nothing is left", func() bool { return !p.seg.Aware(&addr, 4000) })
}

func TestAnyAddressIsTheHostsOwnAndStrangersAddressesAreRefused(t *testing.T) {
	_, p, _ := withApplications(t)
	addr := ownAddress(t)
	a := newApp(t)
	if got := a.ask(wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Port: 4000}, Token: 1}); got != wire.Done || !p.seg.Aware(&addr, 4000) {
		t.Errorf("any address: %v", got)
	}
	if got := a.ask(wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Port: 4002}, Token: 1}); got != wire.Done || p.seg.Aware(&addr, 4000) {
		t.Errorf("another port under the same token: %v", got)
	}
	for _, text := range []string{"203.0.113.77", "2001:db8::77", "127.0.0.1"} {
		stranger := netip.MustParseAddr(text).As16()
		if got := a.ask(wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Addr: stranger, Port: 80}, Token: 2}); got != wire.Refused || p.seg.Aware(&stranger, 80) {
			t.Errorf("%s: %v", text, got)
		}
	}
	if got := a.ask(wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Addr: addr}, Token: 3}); got != wire.Bad {
		t.Errorf("no port: %v", got)
	}
}

func TestOneUserMaySetSoManyEndpointsAndNoMore(t *testing.T) {
	s, _, _ := withApplications(t)
	addr := ownAddress(t)
	a := newApp(t)
	for n := range maxAwareUser {
		if got := a.ask(wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Addr: addr, Port: uint16(1000 + n)}, Token: uint32(n)}); got != wire.Done {
			t.Fatalf("endpoint %d: %v", n, got)
		}
	}
	if got := a.ask(wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Addr: addr, Port: 1}, Token: 1 << 30}); got != wire.Full {
		t.Errorf("one more: %v", got)
	}
	a.c.Close()
	eventually(t, "all are taken back", func() bool {
		s.aware.mu.Lock()
		defer s.aware.mu.Unlock()
		return len(s.aware.endpoints) == 0 && s.aware.total == 0 && len(s.aware.users) == 0
	})
}

func TestNextControlPlaneKeepsTheEndpointsOfProcessesThatRun(t *testing.T) {
	s, p := attached(t)
	addr := [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 9}
	who := application{uid: 1, pid: int32(os.Getpid())}
	gone := application{uid: 1, pid: 1<<22 - 1}
	for port, who := range map[uint16]application{5: who, 6: gone} {
		if err := s.aware.enter(s.seg, wish{Endpoint: wire.Endpoint{Addr: addr, Port: port}}, who); err != nil {
			t.Fatal(err)
		}
	}
	next, err := New(options(p.dir))
	if err != nil {
		t.Fatal(err)
	}
	next.seg = s.seg
	next.attachAware(s.seg)
	next.sweepAware()
	if !p.seg.Aware(&addr, 5) || p.seg.Aware(&addr, 6) {
		t.Errorf("of a process that runs: %t, of one that has ended: %t", p.seg.Aware(&addr, 5), p.seg.Aware(&addr, 6))
	}
}

func TestAddressesOfANamespaceAreReadFromTheKernelsTables(t *testing.T) {
	four := parseTrie(strings.NewReader("Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.1.2.0\n        /24 link UNICAST\n" +
		"     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n     |-- 10.1.2.3\n        /32 host LOCAL\n     |-- x\n        /32 host LOCAL\n"))
	if len(four) != 1 || netip.AddrFrom16(four[0]).Unmap().String() != "10.1.2.3" {
		t.Errorf("%v", four)
	}
	six := parseInet6(strings.NewReader("20010db8000000000000000000000001 02 40 00 80 eth0\n00000000000000000000000000000001 01 80 10 80 lo\nnonsense\n\n"))
	if len(six) != 1 || netip.AddrFrom16(six[0]).String() != "2001:db8::1" {
		t.Errorf("%v", six)
	}
}
