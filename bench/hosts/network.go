package hosts

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Options say what is between the hosts.
type Options struct {
	// NoA and NoB leave a gateway out.
	NoA, NoB bool
	// Middle puts somebody in the middle of the wire: two gateways back to back, who end tcpcrypt towards either side and have the
	// plaintext between them. There is no Join then.
	Middle bool
	// A and B are settings of the gateways; Both is for either one.
	A, B, Both Settings
	// Join, where it is set, opens the two gateways' outside ports, which are joined, over caches of Pool; there is no Wire then.
	Join func(a, b []*mbuf.Cache) (portA, portB port.Port, err error)
	Pool mbuf.Pool
	// OneQueue gives each port of the gateways one queue and a spreader. Join then opens ports with a queue for the one cache it is given, over
	// which the spreaders are put, which close them; any thread may use Pool.
	OneQueue bool
	// Near, Wire and Far are impairments from the start; Link.Impair changes them later.
	Near, Wire, Far Impairment
}

// Network is two hosts with what is between them. A missing gateway and the link on its inside are nil.
type Network struct {
	Client, Server  *Host
	A, B            *Gateway
	Near, Wire, Far *Link

	// Of somebody in the middle: the gateways towards A and towards B, the link between them, and the wire behind it.
	ToA, ToB       *Gateway
	Middle, Beyond *Link
}

// New builds a network, which is taken down when the test ends.
func New(t testing.TB, o Options) *Network {
	t.Helper()
	n := &Network{Client: newHost(t, "client", 1), Server: newHost(t, "server", 2)}
	if !o.NoA {
		n.A = newGateway(t, "a", merge(o.Both, o.A), o.Pool, o.OneQueue)
	}
	if !o.NoB {
		n.B = newGateway(t, "b", merge(o.Both, o.B), o.Pool, o.OneQueue)
	}
	if o.Middle {
		n.ToA, n.ToB = newGateway(t, "to-a", nil, o.Pool, o.OneQueue), newGateway(t, "to-b", nil, o.Pool, o.OneQueue)
	}
	var portA, portB port.Port
	if o.Join != nil {
		var err error
		if portA, portB, err = n.join(&o); err != nil {
			t.Fatal(err)
		}
	}
	var left, right station = n.Client, n.Server
	if !o.NoA {
		n.A.start(t, portA)
		n.Near = newLink("near", o.Near)
		n.Near.start(n.Client, n.A.insideEnd)
		left = n.A.outsideEnd
	}
	if !o.NoB {
		n.B.start(t, portB)
		n.Far = newLink("far", o.Far)
		n.Far.start(n.B.insideEnd, n.Server)
		right = n.B.outsideEnd
	}
	if o.Middle {
		n.ToA.start(t, nil)
		n.ToB.start(t, nil)
		n.Middle, n.Beyond = newLink("middle", Impairment{}), newLink("beyond", Impairment{})
		n.Middle.start(n.ToA.insideEnd, n.ToB.insideEnd)
		n.Beyond.start(n.ToB.outsideEnd, right)
		right = n.ToA.outsideEnd
	}
	if o.Join == nil {
		n.Wire = newLink("wire", o.Wire)
		n.Wire.start(left, right)
	}
	t.Cleanup(func() {
		if t.Failed() {
			n.explain(t)
		}
		n.close(t)
	})
	return n
}

// join opens the outside ports that the options say.
func (n *Network) join(o *Options) (portA, portB port.Port, err error) {
	if !o.OneQueue {
		return o.Join(n.A.caches, n.B.caches)
	}
	portA, err = n.A.spread(func(a []*mbuf.Cache) (devA port.Port, err error) {
		portB, err = n.B.spread(func(b []*mbuf.Cache) (devB port.Port, err error) {
			devA, devB, err = o.Join(a, b)
			return devB, err
		})
		return devA, err
	})
	return portA, portB, err
}

func merge(all ...Settings) Settings {
	m := Settings{}
	for _, s := range all {
		for k, v := range s {
			m[k] = v
		}
	}
	return m
}

func (n *Network) gateways() []*Gateway {
	var gs []*Gateway
	for _, g := range []*Gateway{n.A, n.ToA, n.ToB, n.B} {
		if g != nil {
			gs = append(gs, g)
		}
	}
	return gs
}

func (n *Network) links() []*Link {
	var ls []*Link
	for _, l := range []*Link{n.Near, n.Wire, n.Middle, n.Beyond, n.Far} {
		if l != nil {
			ls = append(ls, l)
		}
	}
	return ls
}

// explain puts into the test's log what happened on the links and in the gateways.
func (n *Network) explain(t testing.TB) {
	for _, g := range n.gateways() {
		t.Logf("counters of gateway %s:%s", g.Config.Name, g.Counters())
	}
	for _, l := range n.links() {
		t.Logf("%s:\n%s", l.Name, l.Trace.String())
	}
}

func (n *Network) close(t testing.TB) {
	n.Client.close()
	n.Server.close()
	for _, g := range n.gateways() {
		g.halt()
	}
	for _, l := range n.links() {
		l.close()
	}
	for _, g := range n.gateways() {
		g.close(t)
	}
}

// Family is an address family.
type Family int

// The address families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Address returns the host's address of a family.
func (h *Host) Address(f Family) netip.Addr {
	if f == IPv6 {
		return h.V6
	}
	return h.V4
}

// Patience is how long anything in a test may take before it counts as never; on an idle machine it is far less.
const Patience = 60 * time.Second

// Listen opens a port of the server's until the test ends.
func (n *Network) Listen(t testing.TB, f Family) *Listener {
	t.Helper()
	l, err := n.Server.Listen(netip.AddrPortFrom(n.Server.Address(f), 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// Connect opens a connection from the client to a listener and returns both its ends.
func (n *Network) Connect(t testing.TB, l *Listener) (client, server *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	client, err := n.Client.Dial(ctx, l.Addr)
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.AcceptWithin(Patience); err != nil {
		t.Fatal(err)
	}
	return client, server
}
