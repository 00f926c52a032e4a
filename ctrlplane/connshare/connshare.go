// Package connshare bounds how many connections of strangers a listener of the control plane has at a time, of all and of one source, so that
// none of them keeps the others out. It bounds neither how long they last nor what they ask.
package connshare

import (
	"net"
	"net/netip"
	"sync"
)

// Shares are the bounds, and what there is. It is safe for concurrent use and must not be copied.
type Shares struct {
	All    int // connections of all sources
	Source int // and of one, a /24 or /64

	mu  sync.Mutex
	all int
	of  map[netip.Prefix]int
}

// Enter counts a connection from an address, and returns what to call when it is over; calls after the first one do nothing. It is nil where
// there is no place, or the address is none of TCP.
func (s *Shares) Enter(a net.Addr) (leave func()) {
	from, ok := sourceOf(a)
	if !ok {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.All || s.of[from] >= s.Source {
		return nil
	}
	if s.of == nil {
		s.of = map[netip.Prefix]int{}
	}
	s.all++
	s.of[from]++
	return sync.OnceFunc(func() { s.leave(from) })
}

func (s *Shares) leave(from netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.of[from]--; s.of[from] == 0 {
		delete(s.of, from)
	}
}

func sourceOf(a net.Addr) (netip.Prefix, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}, false
	}
	addr, bits := tcp.AddrPort().Addr().Unmap().WithZone(""), 64
	if addr.Is4() {
		bits = 24
	}
	p, err := addr.Prefix(bits)
	return p, err == nil
}
