package connshare

import (
	"net"
	"testing"
)

func addr(s string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(s), Port: 1} }

func TestASourceHasItsShareAndNoMore(t *testing.T) {
	s := Shares{All: 4, Source: 2}
	var leave []func()
	for _, c := range []struct {
		from string
		want bool
	}{
		{"192.0.2.1", true}, {"::ffff:192.0.2.200", true}, {"192.0.2.3", false}, // one /24, however it is written
		{"2001:db8::1", true}, {"2001:db8:0:1::1", true},
		{"198.51.100.1", false}, // all places are taken
	} {
		l := s.Enter(addr(c.from))
		if (l != nil) != c.want {
			t.Errorf("%s: entered %v", c.from, l != nil)
		}
		if l != nil {
			leave = append(leave, l)
		}
	}
	leave[0]()
	leave[0]() // does nothing
	for n, want := range []bool{true, false} {
		l := s.Enter(addr("198.51.100.1"))
		if (l != nil) != want {
			t.Errorf("behind one that left, %d: entered %v", n, l != nil)
		}
		if l != nil {
			leave = append(leave, l)
		}
	}
	for _, l := range leave {
		l()
	}
	if s.all != 0 || len(s.of) != 0 {
		t.Errorf("%d connections of %d sources are counted behind the last one", s.all, len(s.of))
	}
}

func TestAnAddressThatIsNoneOfTCPDoesNotEnter(t *testing.T) {
	s := Shares{All: 4, Source: 2}
	if s.Enter(&net.UnixAddr{Name: "x"}) != nil {
		t.Error("entered")
	}
}
