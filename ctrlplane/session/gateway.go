package session

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"time"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// gateway is what a Finder has open of an instance.
type gateway struct {
	at    instance.Published
	table *sessiontable.Table
	conn  *net.UnixConn
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

// askPatience is how long a control plane may take to answer.
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

// lookup searches the session table, and asks the control plane about what is not in it.
func (g *gateway) lookup(key *flowtable.Key) (Session, verdict) {
	s, v := g.search(key)
	if v.rank != rankUnknown {
		return s, v
	}
	v = g.ask(key)
	if v.rank == rankFound { // since the search
		if s, v = g.search(key); v.rank == rankUnknown {
			return s, verdict{rankUnavailable, fmt.Errorf("%w, and %w: instance %q encrypts it and has not published its session ID", ErrUnknown, ErrUnavailable, g.at.Name)}
		}
	}
	return s, v
}

func (g *gateway) search(key *flowtable.Key) (Session, verdict) {
	if err := g.open(); errors.Is(err, fs.ErrPermission) {
		return Session{}, verdict{rankNotAllowed, fmt.Errorf("%w: instance %q: %w", ErrNotAllowed, g.at.Name, err)}
	} else if errors.Is(err, fs.ErrNotExist) {
		return Session{}, verdict{rankUnknown, fmt.Errorf("%w: instance %q has no session table yet", ErrUnknown, g.at.Name)}
	} else if err != nil {
		return Session{}, verdict{rankUnavailable, fmt.Errorf("%w, and %w: instance %q: %w", ErrUnknown, ErrUnavailable, g.at.Name, err)}
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

// ask asks the control plane, once more where the socket was of one that has ended.
func (g *gateway) ask(key *flowtable.Key) verdict {
	q := wire.Request{
		Verb: wire.State, VLAN: key.VLAN,
		Local: wire.Endpoint{Addr: key.Inside, Port: key.InsidePort}, Remote: wire.Endpoint{Addr: key.Outside, Port: key.OutsidePort},
	}
	var answer wire.Answer
	var err error
	for range 2 {
		if answer, err = g.exchange(&q); err == nil {
			return g.judge(answer)
		}
		if g.conn != nil {
			_ = g.conn.Close()
			g.conn = nil
		}
	}
	if errors.Is(err, fs.ErrPermission) {
		return verdict{rankNotAllowed, fmt.Errorf("%w: instance %q: %w", ErrNotAllowed, g.at.Name, err)}
	}
	return verdict{rankUnavailable, fmt.Errorf("%w, and %w: instance %q: %w", ErrUnknown, ErrUnavailable, g.at.Name, err)}
}

func (g *gateway) exchange(q *wire.Request) (wire.Answer, error) {
	if g.conn == nil {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: g.at.Applications, Net: "unixpacket"})
		if err != nil {
			return 0, err
		}
		g.conn = c
	}
	if err := g.conn.SetDeadline(time.Now().Add(askPatience)); err != nil {
		return 0, err
	}
	b := q.Encode()
	if _, err := g.conn.Write(b[:]); err != nil {
		return 0, err
	}
	var reply [wire.ReplySize + 1]byte
	n, err := g.conn.Read(reply[:])
	if err != nil {
		return 0, err
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
	return verdict{rankUnavailable, fmt.Errorf("%w, and %w: instance %q says %v", ErrUnknown, ErrUnavailable, g.at.Name, a)}
}
