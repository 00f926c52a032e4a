package session

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// home is a run folder of the test's own.
func home(t *testing.T) string {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "lc-session-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	t.Setenv(instance.EnvRunDir, base)
	t.Setenv(instance.EnvInstance, "")
	return base
}

// table makes the session table of an instance, without a control plane.
func table(t *testing.T, name string) *sessiontable.Table {
	t.Helper()
	in, err := instance.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	w, err := sessiontable.OpenWriter(in.SessionTablePath(), sessiontable.Options{Capacity: 100, Group: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

var (
	local4, remote4 = netip.MustParseAddrPort("192.0.2.1:40000"), netip.MustParseAddrPort("198.51.100.2:80")
	local6, remote6 = netip.MustParseAddrPort("[2001:db8::1]:40000"), netip.MustParseAddrPort("[2001:db8::2]:80")
)

func insert(t *testing.T, w *sessiontable.Table, local, remote netip.AddrPort, vlan uint32, id byte) {
	t.Helper()
	err := w.Insert(&sessiontable.Entry{
		Tuple: flowtable.Key{
			Inside: local.Addr().As16(), Outside: remote.Addr().As16(), InsidePort: local.Port(), OutsidePort: remote.Port(), VLAN: vlan,
		},
		Active: true, Role: flowtable.RoleA, TEP: 0x23, AEAD: 1, SessionID: [33]byte{0x23, id}, OwnAware: true, Auth: sessiontable.AuthWaiting,
		ENOA: sessiontable.MakeENO([]byte{69, 4, 0x23, 0x21}), ENOB: sessiontable.MakeENO([]byte{69, 4, 1, 0x23}),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSessionIsFoundByAddressesOfEitherFamily(t *testing.T) {
	home(t)
	w := table(t, "gw")
	insert(t, w, local4, remote4, 0, 4)
	insert(t, w, local6, remote6, 0, 6)
	mapped := func(a netip.AddrPort) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr().As16()), a.Port())
	}
	for _, c := range []struct {
		local, remote netip.AddrPort
		id            byte
	}{
		{local4, remote4, 4}, {mapped(local4), mapped(remote4), 4}, {mapped(local4), remote4, 4}, {local6, remote6, 6},
		{netip.AddrPortFrom(local6.Addr().WithZone("eth0"), 40000), remote6, 6},
	} {
		s, err := Lookup(c.local, c.remote)
		if err != nil || s.ID[1] != c.id || s.Role != RoleA || !s.Opener || s.AEAD.String() != "AES_128_GCM" || s.TEP.String() != "ECDHE_Curve25519" ||
			!s.OwnAware || s.PeerAware || s.Auth != AuthWaiting || string(s.Transcript()) != "E\x04\x23\x21E\x04\x01\x23" {
			t.Errorf("%v with %v: %+v, %v", c.local, c.remote, s, err)
		}
	}
	if !strings.HasPrefix(must(t, local4, remote4).ID.String(), "2304") {
		t.Error("the ID does not print as hexadecimal")
	}
}

func must(t *testing.T, local, remote netip.AddrPort) Session {
	t.Helper()
	s, err := Lookup(local, remote)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSameAddressesInSeveralVLANsAreAmbiguousUntilOneIsNamed(t *testing.T) {
	home(t)
	w := table(t, "gw")
	insert(t, w, local4, remote4, 7, 7)
	f, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s, err := f.Lookup(local4, remote4); err != nil || s.VLAN != 7 {
		t.Errorf("in one VLAN: %+v, %v", s, err)
	}
	insert(t, w, local4, remote4, 8, 8)
	if _, err := f.Lookup(local4, remote4); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("in two VLANs: %v", err)
	}
	if s, err := f.LookupVLAN(local4, remote4, 8); err != nil || s.ID[1] != 8 {
		t.Errorf("in the named VLAN: %+v, %v", s, err)
	}
}

func TestSeveralInstancesAreSearched(t *testing.T) {
	home(t)
	one, two := table(t, "one"), table(t, "two")
	insert(t, two, local4, remote4, 0, 2)
	if s := must(t, local4, remote4); s.Instance != "two" {
		t.Errorf("found in %q", s.Instance)
	}
	insert(t, one, local4, remote4, 0, 1)
	if _, err := Lookup(local4, remote4); !errors.Is(err, ErrAmbiguous) {
		t.Errorf("in two instances: %v", err)
	}
	t.Setenv(instance.EnvInstance, "one")
	if s := must(t, local4, remote4); s.ID[1] != 1 {
		t.Errorf("%+v", s)
	}
	f, err := Open("two")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s, err := f.Lookup(local4, remote4); err != nil || s.ID[1] != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestFinderFollowsAnInstanceThatIsStartedAnew(t *testing.T) {
	home(t)
	w := table(t, "gw")
	insert(t, w, local4, remote4, 0, 1)
	f, err := Open("gw")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Lookup(local4, remote4); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Unlink(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Lookup(local4, remote4); !errors.Is(err, ErrUnknown) {
		t.Errorf("without a table: %v", err)
	}
	insert(t, table(t, "gw"), local4, remote4, 0, 2)
	if s, err := f.Lookup(local4, remote4); err != nil || s.ID[1] != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	home(t)
	table(t, "gw")
	for name, c := range map[string]struct {
		local, remote netip.AddrPort
		want          error
	}{
		"no addresses":       {netip.AddrPort{}, netip.AddrPort{}, ErrNotConnected},
		"no port":            {netip.AddrPortFrom(local4.Addr(), 0), remote4, ErrNotConnected},
		"any address":        {netip.MustParseAddrPort("0.0.0.0:80"), remote4, ErrNotConnected},
		"two families":       {local4, remote6, ErrUnknown},
		"nobody's addresses": {local4, remote4, ErrUnknown},
	} {
		if _, err := Lookup(c.local, c.remote); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open("../x"); err == nil {
		t.Error("a name that leads elsewhere is accepted")
	}
	if _, err := Of(nil); !errors.Is(err, ErrNotConnected) {
		t.Errorf("no connection: %v", err)
	}
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if _, err := Of(a); err == nil {
		t.Error("a pipe has a session")
	}
	t.Setenv(instance.EnvInstance, "a,/etc")
	if _, err := Lookup(local4, remote4); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("a name that leads elsewhere in the environment: %v", err)
	}
}

func TestConnectionPastAllGatewaysIsUnknown(t *testing.T) {
	home(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := Of(c); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "no instance runs here") {
		t.Errorf("without an instance: %v", err)
	}
	table(t, "gw")
	if _, err := Of(c); !errors.Is(err, ErrUnknown) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("with an instance whose control plane is away: %v", err)
	}
}

func TestForgedAndDamagedTablesAreNotBelieved(t *testing.T) {
	base := home(t)
	w := table(t, "gw")
	insert(t, w, local4, remote4, 0, 1)
	path := filepath.Join(base, "gw", "sessions")
	for name, damage := range map[string]func() error{
		"writable by others": func() error { return os.Chmod(path, 0o666) },
		"cut off":            func() error { return errors.Join(os.Chmod(path, 0o600), os.Truncate(path, 5000)) },
		"empty":              func() error { return os.Truncate(path, 0) },
		"something else":     func() error { return os.WriteFile(path, []byte(strings.Repeat("x", 50_000)), 0o600) },
		"a link":             func() error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"a folder":           func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		f, err := Open("gw")
		if err != nil {
			t.Fatal(err)
		}
		if s, err := f.Lookup(local4, remote4); !errors.Is(err, ErrUnknown) || !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
		f.Close()
		_ = os.RemoveAll(path)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTableOfAnotherUserIsNotAllowed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to be another user")
	}
	base := home(t)
	insert(t, table(t, "gw"), local4, remote4, 0, 1)
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	asNobody(t, func() {
		f, err := Open("gw")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Lookup(local4, remote4); !errors.Is(err, ErrNotAllowed) {
			t.Errorf("as another user: %v", err)
		}
	})
}

// asNobody runs f on a thread of another user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if err := syscall.Seteuid(65534); err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := syscall.Seteuid(0); err != nil {
			panic(err)
		}
	}()
	f()
}

func TestWaitOnADoneContextSaysWhatItLastSaw(t *testing.T) {
	home(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Wait(ctx, local4, remote4); !errors.Is(err, context.Canceled) || !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
}

// hung plays the control plane of an instance that takes questions and answers none. A question that came is told on the channel.
func hung(t *testing.T, name string) <-chan bool {
	t.Helper()
	in, err := instance.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: in.Applications(), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan bool, 1000)
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				var b [128]byte
				for {
					if _, err := c.Read(b[:]); err != nil {
						return
					}
					asked <- true
				}
			}()
		}
	}()
	return asked
}

func TestWaitEndsWithItsContextWhileAControlPlaneHangs(t *testing.T) {
	home(t)
	table(t, "one")
	hung(t, "one")
	f, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const waiting = 20
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	ended := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := f.Wait(ctx, local4, remote4)
			ended <- err
		}()
	}
	late := time.After(waiting * askPatience / 2)
	for range waiting {
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrUnknown) {
				t.Error(err)
			}
		case <-late:
			t.Fatal("some still wait for the control plane, and not for their context")
		}
	}
}

func TestPublishedSessionIsFoundWhileAControlPlaneHangs(t *testing.T) {
	home(t)
	one, two := table(t, "one"), table(t, "two")
	insert(t, one, local4, remote4, 0, 1)
	insert(t, two, local6, remote6, 0, 2)
	asked := hung(t, "one")
	f, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if s, err := f.Lookup(local6, remote6); err != nil || s.Instance != "two" || len(asked) != 0 {
		t.Errorf("%+v, %v, with %d questions to the other instance", s, err, len(asked))
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	given := make(chan error, 1)
	go func() {
		_, err := f.Wait(ctx, local4, netip.MustParseAddrPort("198.51.100.3:80"))
		given <- err
	}()
	<-asked
	if s, err := f.Lookup(local4, remote4); err != nil || s.ID[1] != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	select {
	case err := <-given:
		t.Fatalf("the question beside it had ended: %v", err)
	default:
	}
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFinderAsksOnAfterItWasClosedInTheMiddleOfAQuestion(t *testing.T) {
	home(t)
	table(t, "one")
	asked := hung(t, "one")
	f, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	given := make(chan error, 1)
	go func() {
		_, err := f.Wait(ctx, local4, remote4)
		given <- err
	}()
	<-asked
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	<-given
	if _, err := f.Lookup(local4, remote4); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if len(asked) == 0 {
		t.Error("it was not asked again")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
