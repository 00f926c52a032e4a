package gvisor

import (
	"testing"

	"linecrypt/bench/hosts"
)

func TestConnectionIsEncryptedUnderOneSessionID(t *testing.T) {
	for _, family := range []hosts.Family{hosts.IPv4, hosts.IPv6} {
		n := hosts.New(t, hosts.Options{})
		wire, near, far := watch(n.Wire), watch(n.Near), watch(n.Far)
		client, server := n.Connect(t, n.Listen(t, family))
		a, b := sessions(t, n, client)
		if a.SessionID != b.SessionID {
			t.Fatalf("IPv%d: session IDs differ: %x and %x", family, a.SessionID, b.SessionID)
		}
		if a.Role != 1 || b.Role != 2 || !a.Active || b.Active {
			t.Fatalf("IPv%d: gateway A has role %d, opened here %v; gateway B role %d, %v", family, a.Role, a.Active, b.Role, b.Active)
		}
		mustExchange(t, client, server, 100_000, 50_000, 4096)
		if k, first := wire.plaintext(); k > 0 {
			t.Errorf("IPv%d: %d frames on the wire hold plaintext, the first %s", family, k, first)
		}
		for _, inside := range []*wireWatch{near, far} {
			if k, _ := inside.plaintext(); k == 0 {
				t.Errorf("IPv%d: no plaintext was found on an inside link, where it must be", family)
			}
		}
	}
}
