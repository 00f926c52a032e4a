package spread

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// Kind is what Port.Kind appends to the kind of the device.
const Kind = shm.SharedQueue

// Sizes of a worker's rings, in packets: what comes in within a millisecond or two in which the worker has no time, and what is to be
// sent while another worker has the turn.
const (
	DefaultRx = 2048
	DefaultTx = 1024
)

// maxBurst bounds what is received in a turn.
const maxBurst = 256

// Options shape a Port. Zero fields mean the default.
type Options struct {
	Rx, Tx int // packets that the rings of a worker hold, rounded up to powers of two
}

// Port has a queue for each worker over a device with one. It implements port.Port.
type Port struct {
	dev    port.Port
	fds    []int // of the device's queue; nil where it cannot be waited for
	hash   *Hash
	queues []*queue

	// Whose turn it is uses them.
	q     port.Queue
	cache *mbuf.Cache // of q

	_     [apart]byte
	turn  atomic.Bool // somebody has it
	first int         // whose packets are sent first; on the line that the turn brings with it
	_     [apart]byte
}

// New makes a port with a queue for each of caches, which are those of the workers, of a device that was opened with one queue and
// cache. Ports of one data plane share a hash. The Port owns the device from then on, unless there is an error.
func New(dev port.Port, cache *mbuf.Cache, caches []*mbuf.Cache, hash *Hash, o Options) (*Port, error) {
	p, err := makePort(dev, cache, caches, hash, o)
	if err != nil {
		return nil, fmt.Errorf("spread port %s: %w", dev.Name(), err)
	}
	return p, nil
}

func makePort(dev port.Port, cache *mbuf.Cache, caches []*mbuf.Cache, hash *Hash, o Options) (*Port, error) {
	if dev.Queues() != 1 || len(caches) == 0 || hash == nil {
		return nil, fmt.Errorf("%d queues for %d workers", dev.Queues(), len(caches))
	}
	if _, ok := cache.Pool().(mbuf.AnyThread); !ok && len(caches) > 1 {
		return nil, fmt.Errorf("workers free buffers of one another, which a %T does not allow", cache.Pool())
	}
	for i, c := range caches {
		if c.Pool() != cache.Pool() || c == cache || slices.Contains(caches[:i], c) {
			return nil, errors.New("each worker, and the device, has a cache of its own, all of one pool")
		}
	}
	rx, err := slots(o.Rx, DefaultRx)
	if err != nil {
		return nil, err
	}
	tx, err := slots(o.Tx, DefaultTx)
	if err != nil {
		return nil, err
	}
	p := &Port{dev: dev, hash: hash, q: dev.Queue(0), cache: cache}
	p.fds = port.Fds(p.q)
	for i := range caches {
		q, err := newQueue(p, i, rx, tx)
		if err != nil {
			return nil, errors.Join(err, p.closeQueues())
		}
		p.queues = append(p.queues, q)
	}
	for _, q := range p.queues {
		for _, o := range p.queues {
			q.to = append(q.to, &o.rx)
		}
		q.to[q.index] = &q.mine
	}
	return p, nil
}

func slots(n, otherwise int) (int, error) {
	if n == 0 {
		n = otherwise
	}
	if n < 1 || n > 1<<20 {
		return 0, fmt.Errorf("ring of %d packets: out of range", n)
	}
	return 1 << bits.Len(uint(n-1)), nil
}

// Is reports whether a port's kind is one of this package's.
func Is(kind string) bool { return strings.HasSuffix(kind, Kind) }

// Name implements port.Port.
func (p *Port) Name() string { return p.dev.Name() }

// Kind implements port.Port.
func (p *Port) Kind() string { return p.dev.Kind() + Kind }

// Queue implements port.Port.
func (p *Port) Queue(i int) port.Queue { return p.queues[i] }

// Queues implements port.Port.
func (p *Port) Queues() int { return len(p.queues) }

// Caps implements port.Port: what the device does, and RSS.
func (p *Port) Caps() port.Caps {
	c := p.dev.Caps()
	c.RSS = true
	return c
}

// Lost is the number of packets that were lost because a worker's ring was full, ever: of Stats what lies in memory, for who asks often.
func (p *Port) Lost() (n uint64) {
	for _, q := range p.queues {
		n += q.full.Load()
	}
	return n
}

// MTU implements port.Port.
func (p *Port) MTU() int { return p.dev.MTU() }

// Follow implements port.Port.
func (p *Port) Follow() port.State { return p.dev.Follow() }

// Close implements port.Port. It sends what workers have left in their rings, as far as the device takes it at once, and frees the rest
// and what nobody received.
func (p *Port) Close() error {
	if p.queues == nil {
		return nil
	}
	p.send(p.queues[0])
	var ms [port.Burst]*mbuf.Mbuf
	for _, q := range p.queues {
		for _, r := range []*ring{&q.mine, &q.rx, &q.tx} {
			for n := r.take(ms[:]); n > 0; n = r.take(ms[:]) {
				p.cache.FreeBurst(ms[:n])
			}
		}
	}
	err := errors.Join(p.closeQueues(), p.dev.Close())
	p.cache.Flush()
	return err
}

func (p *Port) closeQueues() error {
	var errs []error
	for _, q := range p.queues {
		errs = append(errs, q.close())
	}
	p.queues = nil
	return errors.Join(errs...)
}
