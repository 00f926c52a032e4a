package server

import (
	"context"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/session/wire"
)

// Bounds of the applications socket. A connection costs a goroutine and a descriptor.
const (
	maxApplications     = 256 // connections
	maxApplicationsUser = 64  // of one user
	applicationIdle     = time.Minute
	applicationPatience = 5 * time.Second // for the peer to take an answer
	applicationsAtOnce  = 2               // questions that are being answered; the others wait, not the key exchanges of all
)

// applications serves the socket on which programs of this machine ask what the gateway does with their connections: package wire.
type applications struct {
	server *Server
	turns  chan struct{} // taken by questions that are being answered

	mu    sync.Mutex
	users map[uint32]int // connections by user
	total int
	open  map[*net.UnixConn]bool
}

// ServeApplications answers applications on l, of network "unixpacket", until ctx is done, and closes l. Who may connect is the
// business of the socket's mode.
func (s *Server) ServeApplications(ctx context.Context, l *net.UnixListener) {
	a := &applications{server: s, turns: make(chan struct{}, applicationsAtOnce), users: map[uint32]int{}, open: map[*net.UnixConn]bool{}}
	stop := context.AfterFunc(ctx, func() {
		l.Close()
		a.closeAll()
	})
	defer stop()
	defer l.Close()
	for ctx.Err() == nil {
		c, err := l.AcceptUnix()
		if err != nil {
			if ctx.Err() == nil {
				s.log.Debug("applications socket", "error", err)
				time.Sleep(10 * time.Millisecond) // out of descriptors, perhaps
			}
			continue
		}
		uid, pid, ok := credentials(c)
		if !ok || !a.enter(c, uid) {
			s.events.applicationsRefused.Add(1)
			c.Close()
			continue
		}
		go a.serve(c, application{uid: uid, pid: pid})
	}
}

func credentials(c *net.UnixConn) (uid uint32, pid int32, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, false
	}
	var cred *unix.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil || failed != nil {
		return 0, 0, false
	}
	return cred.Uid, cred.Pid, true
}

// enter counts a connection, and reports whether there is room for it.
func (a *applications) enter(c *net.UnixConn, uid uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.total >= maxApplications || a.users[uid] >= maxApplicationsUser {
		return false
	}
	a.total++
	a.users[uid]++
	a.open[c] = true
	return true
}

func (a *applications) leave(c *net.UnixConn, uid uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, c)
	a.total--
	if a.users[uid]--; a.users[uid] == 0 {
		delete(a.users, uid)
	}
}

func (a *applications) closeAll() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.open {
		c.Close()
	}
}

// serve answers one application until it closes the socket, asks nothing for too long, or sends what is no question.
func (a *applications) serve(c *net.UnixConn, who application) {
	defer a.leave(c, who.uid)
	defer c.Close()
	set := asked{}
	defer func() {
		for token := range set {
			a.server.clearAware(token, who, set)
		}
	}()
	var b [wire.RequestSize + 1]byte
	for {
		deadline := time.Now().Add(applicationIdle)
		if len(set) > 0 {
			deadline = time.Time{} // the end of the socket says that it is no longer wanted
		}
		if c.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := c.Read(b[:])
		if err != nil || n == 0 {
			return
		}
		var q wire.Request
		answer := wire.Bad
		if q.Decode(b[:n]) == nil {
			a.turns <- struct{}{}
			answer = a.server.answerApplication(&q, who, set)
			<-a.turns
		}
		a.server.events.applicationsAsked.Add(1)
		reply := wire.EncodeReply(answer)
		if c.SetWriteDeadline(time.Now().Add(applicationPatience)) != nil {
			return
		}
		if _, err := c.Write(reply[:]); err != nil || answer == wire.Bad {
			return
		}
	}
}

// answerApplication does what an application asks; set is what it asked for on this socket.
func (s *Server) answerApplication(q *wire.Request, who application, set asked) wire.Answer {
	switch q.Verb {
	case wire.State:
		return s.stateOf(q)
	case wire.SetAware, wire.SetFresh:
		return s.setAware(q, who, set)
	case wire.ClearAware:
		s.clearAware(q.Token, who, set)
		return wire.Done
	case wire.Flush:
		if f, resumes := any(s).(flusher); resumes {
			return flushFor(f, q, who)
		}
	}
	return wire.Away
}
