package peering

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/peering/book"
	"linecrypt/ctrlplane/peering/message"
)

// Node is a gateway among its peers. Run may be called once; all other methods are safe for concurrent use with it.
type Node struct {
	own      ed25519.PublicKey
	cert     tls.Certificate
	nonce    [message.NonceSize]byte // of this run
	listener net.Listener
	dialer   func(context.Context, string) (net.Conn, error)
	log      *slog.Logger
	times    Times
	begun    time.Time
	prefixes atomic.Pointer[book.Prefixes]
	running  sync.WaitGroup

	paced, refused atomic.Uint64

	mu       sync.Mutex
	ctx      context.Context // of Run, nil before and behind it
	peers    []*peerState    // by number; one that is not listed any more keeps its own
	book     *book.Book
	verdicts []book.Verdict // not taken yet
}

// peerState is a peer with the connection that is used with it.
type peerState struct {
	Peer
	out       bool          // not listed any more
	dialing   bool          // there is a goroutine that dials
	moved     chan struct{} // closed when address or listing has changed, then another one
	link      *link         // nil for none
	gone      chan struct{} // closed when link is
	connected uint64        // connections that were used
	turns     float64       // how many more may be at once
	turned    time.Time     // when turns was counted
	why       error         // of the last connection's end, or of there being none
}

// New makes a node. The error wraps ErrConfig.
func New(c Config) (*Node, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.Book == (book.Params{}) {
		c.Book = book.DefaultParams()
	}
	c.Times.complete()
	cert, err := certificate(c.Key)
	if err != nil {
		return nil, err
	}
	n := &Node{
		own: c.Key.Public().(ed25519.PublicKey), cert: cert, listener: c.Listener, dialer: c.Dial, log: c.Log, times: c.Times, begun: time.Now(),
		book: book.New(0, c.Book),
	}
	_, _ = rand.Read(n.nonce[:])
	if _, err := n.SetPeers(c.Peers); err != nil {
		return nil, err
	}
	return n, nil
}

// Run keeps connections with the peers until ctx is done.
func (n *Node) Run(ctx context.Context) {
	n.mu.Lock()
	n.ctx = ctx
	if n.listener != nil {
		n.running.Go(func() { n.accept(ctx) })
	}
	for i := range n.peers {
		n.dialFrom(i)
	}
	n.mu.Unlock()
	tick := time.NewTicker(n.times.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			n.mu.Lock()
			n.ctx = nil // nobody begins to dial any more
			n.mu.Unlock()
			n.running.Wait()
			return
		case <-tick.C:
			n.mu.Lock()
			n.book.Tick(n.now())
			for i := range n.peers {
				n.settle(i)
			}
			n.mu.Unlock()
		}
	}
}

// now is the book's clock.
func (n *Node) now() int64 { return int64(time.Since(n.begun)) + 1 }

// peerOf returns the peer with a key.
func (n *Node) peerOf(key ed25519.PublicKey) (int, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.listed(key)
}

// listed is peerOf for who holds n.mu.
func (n *Node) listed(key ed25519.PublicKey) (int, bool) {
	for i, p := range n.peers {
		if !p.out && p.Key.Equal(key) {
			return i, true
		}
	}
	return 0, false
}

// PeerFor returns the number of the peer behind which an address lies. It is that peer's for as long as the node lives.
func (n *Node) PeerFor(addr [16]byte) (peer int, ok bool) { return n.prefixes.Load().Find(addr) }

// Name returns a peer's name.
func (n *Node) Name(peer int) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.peers[peer].Name
}

// Open enters a session whose far end lies behind a peer, and returns what is known of it already.
func (n *Node) Open(s book.Session, peer int) book.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := n.book.Open(s, peer, n.now())
	n.settle(peer)
	return state
}

// Close takes a session out that is over.
func (n *Node) Close(id message.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if peer, ok := n.book.Close(id, n.now()); ok {
		n.settle(peer)
	}
}

// Clear takes all sessions out.
func (n *Node) Clear() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.book.Clear()
	n.verdicts = nil
}

// Verdicts returns what was found out since the last call. There is one at most for each change of a session's state.
func (n *Node) Verdicts() []book.Verdict {
	n.mu.Lock()
	defer n.mu.Unlock()
	v := n.verdicts
	n.verdicts = nil
	return v
}

// settle takes verdicts out of the book and wakes a peer's link if there is something to say. The caller holds n.mu.
func (n *Node) settle(peer int) {
	n.verdicts = append(n.verdicts, n.book.Verdicts()...)
	if l := n.peers[peer].link; l != nil && n.book.HasNext(peer) {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// gatherBytes is about how much is sent at once.
const gatherBytes = 8 << 10

// gather appends messages for a link's peer to b.
func (n *Node) gather(l *link, b []byte) []byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.peers[l.peer].link != l {
		return b
	}
	var m message.Message
	for now := n.now(); len(b) < gatherBytes && n.book.Next(l.peer, now, &m); {
		b = m.Append(b)
	}
	return b
}

// receive takes a message of a link's peer. False: the link is not used any more.
func (n *Node) receive(l *link, m *message.Message) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.peers[l.peer].link != l {
		return false
	}
	n.book.Receive(l.peer, m, n.now())
	n.settle(l.peer)
	return true
}

// failed notes why there is no connection with a peer.
func (n *Node) failed(peer int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[peer]; p.link == nil && !errors.Is(err, errReplaced) {
		p.why = err
	}
}

// run uses a link until it ends, if it is to be used.
func (n *Node) run(ctx context.Context, l *link) error {
	if !n.adopt(l) {
		l.conn.Close()
		return errReplaced
	}
	err := n.serve(ctx, l)
	n.abandon(ctx, l, err)
	return err
}

// preferred reports whether a link is the one that stays where both sides have dialled.
func (n *Node) preferred(l *link) bool {
	lower := bytes.Compare(n.own, n.peers[l.peer].Key) < 0
	return l.dialed == lower
}

// adopt makes a link the one that is used with its peer, in place of another. Both sides come to the same decision, whichever
// connection each has seen first.
func (n *Node) adopt(l *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[l.peer]
	old := p.link
	switch {
	case p.out || old != nil && old.nonce == l.nonce && n.preferred(old) && !n.preferred(l):
		return false
	case !p.mayConnect(time.Now(), n.times.FirstRetry):
		n.refused.Add(1)
		return false
	}
	if old != nil {
		old.conn.NetConn().Close() // its goroutines find that it is not used any more
		close(p.gone)
	}
	p.link, p.gone, p.why = l, make(chan struct{}), nil
	p.connected++
	n.book.Connect(l.peer, n.now())
	n.settle(l.peer)
	n.log.Info("connected with a peer", "peer", p.Name, "address", l.conn.RemoteAddr().String(), "dialed", l.dialed)
	return true
}

// connectsAtOnce is how many connections with a peer may be used one right behind the other; then it is one each FirstRetry.
const connectsAtOnce = 8

// mayConnect counts a connection that is to be used, and reports whether it may be: each has all that is open told anew.
func (p *peerState) mayConnect(now time.Time, every time.Duration) bool {
	p.turns = min(p.turns+now.Sub(p.turned).Seconds()/every.Seconds(), connectsAtOnce)
	p.turned = now
	if p.turns < 1 {
		return false
	}
	p.turns--
	return true
}

// abandon ends the use of a link.
func (n *Node) abandon(ctx context.Context, l *link, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := n.peers[l.peer]
	if p.link != l {
		return
	}
	p.link, p.why = nil, err
	close(p.gone)
	n.book.Disconnect(l.peer)
	if ctx.Err() != nil || p.out {
		return // it is this side that ends
	}
	n.log.Warn("the connection with a peer has ended; what its policy demands of it waits", "peer", p.Name, "error", err)
}
