package flowtable

import (
	"net/netip"
	"testing"
)

func TestPeersAreOneSitesAddresses(t *testing.T) {
	peer := func(s string) Peer {
		a := netip.MustParseAddr(s).As16()
		if want := netip.MustParseAddr(s).Is4(); IsIPv4(&a) != want {
			t.Errorf("%s: IPv4 %v", s, !want)
		}
		return (&Key{Outside: a}).Peer()
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "192.0.3.1", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"192.0.2.1", "2001:db8::c000:201", false},
	} {
		if (peer(c.a) == peer(c.b)) != c.same {
			t.Errorf("%s and %s are one peer: %v", c.a, c.b, !c.same)
		}
	}
}
