package session

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"

	"linecrypt/ctrlplane/instance"
	"linecrypt/flowtable"
)

// AnyVLAN stands for the VLAN of a connection of which only one has its addresses.
const AnyVLAN = 0xffff_ffff

// Finder looks sessions up. Its methods are safe for concurrent use.
type Finder struct {
	names []string

	mu     sync.Mutex // of what follows; never held while a control plane is asked, which may hang
	local  map[string]*gateway
	remote *remote // nil where the gateways of this machine are asked
}

// Open returns a Finder that asks the gateways of this machine: the instances of the given names, or, where none is given, those that the
// environment variable LINECRYPT_INSTANCE names, or else all that can be found. An instance may start and end at any time. The error is
// for names that are none.
func Open(names ...string) (*Finder, error) {
	if env := os.Getenv(instance.EnvInstance); len(names) == 0 && env != "" {
		names = strings.Split(env, ",")
	}
	for _, name := range names {
		if err := instance.CheckName(name); err != nil {
			return nil, err
		}
	}
	return &Finder{names: names, local: map[string]*gateway{}}, nil
}

// Close gives up what the Finder has open. It may be used on, and opens that again.
func (f *Finder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var err error
	for path, g := range f.local {
		err = errors.Join(err, g.close())
		delete(f.local, path)
	}
	if f.remote != nil {
		f.remote.client.CloseIdleConnections()
	}
	return err
}

// Lookup returns the session of the connection between two addresses, local the one of the host behind the gateway. IPv4-mapped IPv6
// addresses are those of IPv4; zones do not count. Where several connections in different VLANs have these addresses the error is
// ErrAmbiguous: see LookupVLAN.
func (f *Finder) Lookup(local, remote netip.AddrPort) (Session, error) {
	return f.LookupVLAN(local, remote, AnyVLAN)
}

// LookupVLAN is Lookup for the connection in a VLAN, 0 for untagged.
func (f *Finder) LookupVLAN(local, remote netip.AddrPort, vlan uint32) (Session, error) {
	return f.find(context.Background(), local, remote, vlan)
}

// find is LookupVLAN, which ends with its context at the latest.
func (f *Finder) find(ctx context.Context, local, remote netip.AddrPort, vlan uint32) (Session, error) {
	key, err := keyOf(local, remote, vlan)
	if err != nil {
		return Session{}, err
	}
	var s Session
	if f.remote != nil {
		s, err = f.remote.lookup(ctx, &key)
	} else {
		s, err = f.lookup(ctx, &key)
	}
	if err != nil {
		return Session{}, fmt.Errorf("session of %v with %v: %w", local, remote, err)
	}
	return s, nil
}

// keyOf returns the key of a connection. VLAN is AnyVLAN where it is not known.
func keyOf(local, remote netip.AddrPort, vlan uint32) (flowtable.Key, error) {
	for _, a := range []netip.AddrPort{local, remote} {
		if !a.Addr().IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() {
			return flowtable.Key{}, fmt.Errorf("session of %v with %v: %v is no end of a connection: %w", local, remote, a, ErrNotConnected)
		}
	}
	if local.Addr().Unmap().Is4() != remote.Addr().Unmap().Is4() {
		return flowtable.Key{}, fmt.Errorf("session of %v with %v: IPv4 and IPv6: %w", local, remote, ErrUnknown)
	}
	return flowtable.Key{
		Inside: local.Addr().As16(), Outside: remote.Addr().As16(), InsidePort: local.Port(), OutsidePort: remote.Port(), VLAN: vlan,
	}, nil
}

// lookup searches the session tables of all instances, and then, where none has the connection, asks one control plane after the other:
// one that hangs keeps nobody from a session that is published. What one instance knows counts more than what another does not.
func (f *Finder) lookup(ctx context.Context, key *flowtable.Key) (Session, error) {
	list, err := instance.FindPublished(f.names...)
	if err != nil {
		return Session{}, fmt.Errorf("%w: %w", ErrNotAllowed, err)
	}
	c := count{worst: verdict{err: fmt.Errorf("%w: no instance runs here", ErrUnknown)}}
	for _, g := range f.searchAll(list, key, &c) {
		if c.sessions > 0 {
			break
		}
		s, v := f.ask(ctx, g, key)
		c.add(s, v)
	}
	if c.sessions > 1 {
		return Session{}, fmt.Errorf("%w: in several instances; name one", ErrAmbiguous)
	}
	return c.found, c.worst.err
}

// searchAll adds what the session tables say, and returns the instances whose tables do not have the connection.
func (f *Finder) searchAll(list []instance.Published, key *flowtable.Key, c *count) []*gateway {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forgetBut(list)
	var unknown []*gateway
	for i := range list {
		g := f.gateway(&list[i])
		s, v := g.search(key)
		if v.rank == rankUnknown {
			unknown = append(unknown, g)
		}
		c.add(s, v)
	}
	return unknown
}

// count is what the instances say together.
type count struct {
	found    Session
	sessions int
	worst    verdict
}

func (c *count) add(s Session, v verdict) {
	if v.rank == rankFound {
		c.found = s
		c.sessions++
	}
	if v.rank >= c.worst.rank {
		c.worst = v
	}
}

// gateway returns what is open of an instance.
func (f *Finder) gateway(p *instance.Published) *gateway {
	g := f.local[p.SessionTable]
	if g == nil {
		g = &gateway{at: *p, turn: make(chan struct{}, 1)}
		f.local[p.SessionTable] = g
	}
	return g
}

// forgetBut closes what is open of instances that are gone.
func (f *Finder) forgetBut(list []instance.Published) {
	for path, g := range f.local {
		gone := true
		for i := range list {
			gone = gone && list[i].SessionTable != path
		}
		if gone {
			_ = g.close()
			delete(f.local, path)
		}
	}
}
