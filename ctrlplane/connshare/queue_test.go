package connshare

import (
	"net"
	"slices"
	"testing"
)

func TestOldestOfTheSourceThatHasMostGoesForANewerOne(t *testing.T) {
	q := Queue{All: 4, Source: 2}
	var gone []int
	leave := map[int]func(){}
	for n, c := range []struct {
		from string
		goes []int // for it
	}{
		{"192.0.2.1", nil}, {"198.51.100.1", nil}, {"192.0.2.2", nil},
		{"192.0.2.3", []int{0}}, // its own share is full
		{"203.0.113.1", nil},
		{"2001:db8::1", []int{2}}, // all are there, and 192.0.2.0/24 has most
		{"2001:db8:0:1::1", []int{1}},
		{"198.51.100.2", []int{3}},
	} {
		gone = nil
		leave[n] = q.Enter(addr(c.from), func() { gone = append(gone, n) })
		if leave[n] == nil || !slices.Equal(gone, c.goes) {
			t.Errorf("for %s: %v go, want %v", c.from, gone, c.goes)
		}
	}
	for _, l := range leave {
		l()
		l()
	}
	if len(q.list) != 0 {
		t.Errorf("%d are left", len(q.list))
	}
	if q.Enter(&net.UnixAddr{Name: "x"}, nil) != nil {
		t.Error("an address that is none of TCP enters")
	}
}
