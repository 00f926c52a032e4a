package server

import (
	"os"
	"strconv"
	"strings"
	"sync"

	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/shm"
)

// Bounds of what applications may set, in endpoints.
const (
	maxAware     = 768 // for all; the data plane's table has 1024 places
	maxAwareUser = 256 // for one user
	maxAddresses = 64  // that "any address" may stand for
)

// awareness is what applications asked for: endpoints whose connections carry the application-aware bit, or resume nothing. It outlives the segment into which
// it is written. An endpoint stays as long as the socket on which it was asked for is open, so that a server that goes on in a child
// process keeps it; one that an earlier control plane left, as long as the process runs that asked for it.
type awareness struct {
	mu        sync.Mutex
	endpoints map[wish]*awareEndpoint
	users     map[uint32]int // endpoints by user, each as often as it was asked for
	total     int            // likewise
}

// wish is one thing that is asked for an endpoint.
type wish struct {
	wire.Endpoint
	fresh bool // as shm.AwareEndpoint has it
}

func (e wish) endpoint(owner uint64) shm.AwareEndpoint {
	return shm.AwareEndpoint{Addr: e.Addr, Port: e.Port, Fresh: e.fresh, Owner: owner}
}

type awareEndpoint struct {
	asked  int    // by open sockets
	orphan uint64 // of an earlier control plane: who asked, 0 for none
}

// asked is what one socket asked for, by token.
type asked map[uint32][]wish

// owner names a process by its number and its start time, so that another one of that number is another one.
func owner(pid int32) uint64 { return uint64(pid)&(1<<22-1) | startTime(pid)<<22 }

func alive(owner uint64) bool {
	start := startTime(int32(owner & (1<<22 - 1)))
	return start != 0 && start&(1<<42-1) == owner>>22
}

// startTime returns when a process was started, in clock ticks since boot, 0 where there is none.
func startTime(pid int32) uint64 {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/stat")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[19], 10, 64)
	return n
}

// setAware enters what an application asks for, and notes it down in a. The addresses must be the application's host's own.
func (s *Server) setAware(q *wire.Request, who application, a asked) wire.Answer {
	endpoints, answer := endpointsOf(q.Local, who)
	if answer != wire.Done {
		return answer
	}
	var list []wish
	for _, e := range endpoints {
		list = append(list, wish{e, q.Verb == wire.SetFresh})
	}
	s.clearAware(q.Token, who, a)
	s.mu.RLock()
	defer s.mu.RUnlock()
	w := &s.aware
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.seg == nil {
		return wire.Away
	}
	if w.total+len(list) > maxAware || w.users[who.uid]+len(list) > maxAwareUser {
		return wire.Full
	}
	for i, e := range list {
		if w.enter(s.seg, e, who) != nil {
			for _, e := range list[:i] {
				w.leave(s.seg, e, who.uid)
			}
			return wire.Full
		}
	}
	a[q.Token] = list
	return wire.Done
}

func (w *awareness) enter(seg *shm.Segment, e wish, who application) error {
	at := w.endpoints[e]
	if at == nil {
		if err := seg.SetAware(e.endpoint(owner(who.pid))); err != nil {
			return err
		}
		at = &awareEndpoint{}
		w.endpoints[e] = at
	}
	at.orphan = 0 // who asked an earlier control plane has come back, or somebody else vouches for it
	at.asked++
	w.total++
	w.users[who.uid]++
	return nil
}

func (w *awareness) leave(seg *shm.Segment, e wish, uid uint32) {
	at := w.endpoints[e]
	if at == nil || at.asked == 0 {
		return
	}
	at.asked--
	w.total--
	if w.users[uid]--; w.users[uid] == 0 {
		delete(w.users, uid)
	}
	if at.asked == 0 {
		w.drop(seg, e)
	}
}

func (w *awareness) drop(seg *shm.Segment, e wish) {
	delete(w.endpoints, e)
	if seg != nil {
		seg.ClearAware(e.endpoint(0))
	}
}

// clearAware takes back what was asked for under a token.
func (s *Server) clearAware(token uint32, who application, a asked) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.aware.mu.Lock()
	defer s.aware.mu.Unlock()
	for _, e := range a[token] {
		s.aware.leave(s.seg, e, who.uid)
	}
	delete(a, token)
}

// attachAware brings a segment and what was asked for together: the endpoints that an earlier control plane left in it stay while their
// processes run. The server's lock is held.
func (s *Server) attachAware(seg *shm.Segment) {
	w := &s.aware
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endpoints == nil {
		w.endpoints, w.users = map[wish]*awareEndpoint{}, map[uint32]int{}
	}
	for _, left := range seg.MendAware() {
		e := wish{wire.Endpoint{Addr: left.Addr, Port: left.Port}, left.Fresh}
		if w.endpoints[e] == nil {
			w.endpoints[e] = &awareEndpoint{orphan: left.Owner}
		}
	}
	for e, at := range w.endpoints {
		if at.asked > 0 && seg.SetAware(e.endpoint(0)) != nil {
			s.events.awareLost.Add(1)
		}
	}
}

// sweepAware takes out what was left by processes that have ended.
func (s *Server) sweepAware() {
	w := &s.aware
	w.mu.Lock()
	defer w.mu.Unlock()
	for e, at := range w.endpoints {
		if at.asked == 0 && !alive(at.orphan) {
			w.drop(s.seg, e)
		}
	}
}

// endpointsOf returns the endpoints that an application may mean, which are addresses of the network namespace that it lives in. Any
// address stands for all of them.
func endpointsOf(local wire.Endpoint, who application) ([]wire.Endpoint, wire.Answer) {
	if local.Port == 0 {
		return nil, wire.Bad
	}
	own, err := addressesOf(who.pid)
	if err != nil || foreign(who.pid) { // in this order: there is no way back from another user namespace
		return nil, wire.Refused
	}
	any4 := [16]byte{10: 0xff, 11: 0xff}
	var list []wire.Endpoint
	for _, a := range own {
		is4 := [12]byte(a[:12]) == [12]byte(any4[:12])
		if a == local.Addr || local.Addr == any4 && is4 || local.Addr == [16]byte{} {
			list = append(list, wire.Endpoint{Addr: a, Port: local.Port})
		}
	}
	switch {
	case len(list) == 0:
		return nil, wire.Refused
	case len(list) > maxAddresses:
		return nil, wire.Full
	}
	return list, wire.Done
}

// application says who asks, as the kernel does.
type application struct {
	uid uint32
	pid int32
}
