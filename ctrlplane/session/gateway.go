package session

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// gateway is what a Finder has open of an instance.
type gateway struct {
	at    instance.Published
	turn  chan struct{} // full while its control plane is asked: one question at a time
	table *sessiontable.Table
	conn  *net.UnixConn // nil also while a question has it
}

// verdict is what one instance says of a connection.
type verdict struct {
	rank rank
	err  error // nil for rankFound
}

// rank orders what several instances say: the highest counts.
type rank uint8

const (
	rankUnknown rank = iota
	rankUnavailable
	rankNotAllowed
	rankNotEncrypted
	rankNotConnected
	rankAmbiguous
	rankFound
)

// askPatience is how long a control plane may take to answer, and how long one waits for others that ask it.
const askPatience = time.Second

func (g *gateway) close() error {
	var err error
	if g.table != nil {
		err = g.table.Close()
		g.table = nil
	}
	if g.conn != nil {
		err = errors.Join(err, g.conn.Close())
		g.conn = nil
	}
	return err
}

func (g *gateway) search(key *flowtable.Key) (Session, verdict) {
	if err := g.open(); errors.Is(err, fs.ErrPermission) {
		return Session{}, verdict{rankNotAllowed, fmt.Errorf("%w: instance %q: %w", ErrNotAllowed, g.at.Name, err)}
	} else if errors.Is(err, fs.ErrNotExist) {
		return Session{}, verdict{rankUnknown, fmt.Errorf("%w: instance %q has no session table yet", ErrUnknown, g.at.Name)}
	} else if err != nil {
		return Session{}, g.unavailable(err)
	}
	var e [2]sessiontable.Entry
	n := 0
	if key.VLAN == AnyVLAN {
		n = g.table.Find(key, e[:])
	} else if g.table.Lookup(key, &e[0]) {
		n = 1
	}
	switch n {
	case 0:
		return Session{}, verdict{rankUnknown, ErrUnknown}
	case 1:
		return sessionOf(&e[0], g.at.Name), verdict{rank: rankFound}
	}
	return Session{}, verdict{rankAmbiguous, fmt.Errorf("%w: in VLANs %d and %d among others", ErrAmbiguous, e[0].Tuple.VLAN, e[1].Tuple.VLAN)}
}

// open maps the table where it is not open, or another one has its name by now.
func (g *gateway) open() error {
	if g.table != nil && g.table.Current() {
		return nil
	}
	if g.table != nil {
		_ = g.table.Close()
		g.table = nil
	}
	var err error
	g.table, err = sessiontable.Open(g.at.SessionTable)
	return err
}

// ask asks the control plane of an instance about a connection that is not in its table, and searches that again where it says that it is.
func (f *Finder) ask(ctx context.Context, g *gateway, key *flowtable.Key) (Session, verdict) {
	v := f.question(ctx, g, key)
	if v.rank != rankFound {
		return Session{}, v
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	g = f.gateway(&g.at)
	s, v := g.search(key)
	if v.rank == rankUnknown {
		v = verdict{rankUnavailable, fmt.Errorf("%w, and %w: instance %q encrypts it and has not published its session ID", ErrUnknown, ErrUnavailable, g.at.Name)}
	}
	return s, v
}

// question puts the question when it is its turn, with the socket of the one before.
func (f *Finder) question(ctx context.Context, g *gateway, key *flowtable.Key) verdict {
	wait, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-wait.Done():
		return g.unavailable(wait.Err())
	}
	f.mu.Lock()
	conn := g.conn
	g.conn = nil
	f.mu.Unlock()
	conn, v := g.put(ctx, conn, key)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.local[g.at.SessionTable] == g {
		g.conn = conn
	} else if conn != nil { // given up meanwhile
		_ = conn.Close()
	}
	return v
}

// put asks the control plane on a socket, or a new one where that is nil, and once more where the socket was of one that has ended. It
// returns the socket, nil where it is of no use any more.
func (g *gateway) put(ctx context.Context, conn *net.UnixConn, key *flowtable.Key) (*net.UnixConn, verdict) {
	q := wire.Request{
		Verb: wire.State, VLAN: key.VLAN,
		Local: wire.Endpoint{Addr: key.Inside, Port: key.InsidePort}, Remote: wire.Endpoint{Addr: key.Outside, Port: key.OutsidePort},
	}
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	var err error
	for range 2 {
		if conn == nil {
			if conn, err = net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: g.at.Applications, Net: "unixpacket"}); err != nil {
				conn = nil
				continue
			}
		}
		var answer wire.Answer
		if answer, err = exchange(ctx, conn, &q); err == nil {
			return conn, g.judge(answer)
		}
		_ = conn.Close()
		conn = nil
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, verdict{rankNotAllowed, fmt.Errorf("%w: instance %q: %w", ErrNotAllowed, g.at.Name, err)}
	}
	return nil, g.unavailable(err)
}

func (g *gateway) unavailable(err error) verdict {
	return verdict{rankUnavailable, fmt.Errorf("%w, and %w: instance %q: %w", ErrUnknown, ErrUnavailable, g.at.Name, err)}
}

func exchange(ctx context.Context, conn *net.UnixConn, q *wire.Request) (wire.Answer, error) {
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b := q.Encode()
	if _, err := conn.Write(b[:]); err != nil {
		return 0, err
	}
	var reply [wire.ReplySize + 1]byte
	n, err := conn.Read(reply[:])
	if err != nil {
		return 0, err
	}
	if !stop() { // the deadline may be changed at any moment, under the next question
		return 0, os.ErrDeadlineExceeded
	}
	return wire.DecodeReply(reply[:n])
}

func (g *gateway) judge(a wire.Answer) verdict {
	switch a {
	case wire.Unknown:
		return verdict{rankUnknown, ErrUnknown}
	case wire.Connecting:
		return verdict{rankNotConnected, ErrNotConnected}
	case wire.Plain:
		return verdict{rankNotEncrypted, ErrNotEncrypted}
	case wire.Encrypted:
		return verdict{rank: rankFound}
	case wire.Ambiguous:
		return verdict{rankAmbiguous, ErrAmbiguous}
	case wire.Refused:
		return verdict{rankNotAllowed, ErrNotAllowed}
	}
	return g.unavailable(fmt.Errorf("it says %v", a))
}
