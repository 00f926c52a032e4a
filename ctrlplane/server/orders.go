package server

import (
	"errors"
	"fmt"
	"sync"

	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
)

// Errors of orders.
var (
	// ErrNoConnection means that no connection that has a session ID is the one that was named.
	ErrNoConnection = errors.New("no such encrypted connection")
	// ErrOrders means that as many orders wait for a worker as may.
	ErrOrders = errors.New("too many orders wait for the data plane")
)

// maxOrders is how many orders may wait for one worker.
const maxOrders = 4096

// orders are those that wait to be sent, by worker. Any goroutine may put one; the one of Run sends them.
type orders struct {
	mu     sync.Mutex
	lists  [][]shm.Order
	number int
}

// OrderAbout returns an order about a connection as the session table has it.
func OrderAbout(e *sessiontable.Entry, kind shm.OrderKind, why shm.Reason) shm.Order {
	return shm.Order{Kind: kind, Reason: why, Tuple: e.Tuple, Ref: shm.FlowRef{Worker: e.Worker, Index: e.Index, Gen: e.Gen}}
}

// Order has an order sent to the worker that has the connection, within a few ms. It is not answered: the worker counts what it
// did, and the connection's record shows it. An order about a connection that has gone meanwhile does nothing. The error wraps
// ErrNoDataPlane, ErrNoConnection where there is no such worker, or ErrOrders.
func (s *Server) Order(o shm.Order) error {
	var b [shm.OrderSize]byte
	if _, err := o.Encode(b[:]); err != nil {
		return err
	}
	err := fmt.Errorf("order %v: %w", o.Kind, ErrNoDataPlane)
	s.View(func(seg *shm.Segment) { err = s.orders.put(o, seg.Workers()) })
	return err
}

// put lets an order wait for one of a number of workers.
func (q *orders) put(o shm.Order, workers int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if int(o.Ref.Worker) >= workers {
		return fmt.Errorf("order %v to worker %d of %d: %w", o.Kind, o.Ref.Worker, workers, ErrNoConnection)
	}
	if len(q.lists) < workers {
		q.lists = append(q.lists, make([][]shm.Order, workers-len(q.lists))...)
	}
	list := &q.lists[o.Ref.Worker]
	if len(*list) >= maxOrders {
		return fmt.Errorf("order %v: %w", o.Kind, ErrOrders)
	}
	*list = append(*list, o)
	q.number++
	return nil
}

// flush sends a worker's orders as far as there is room for them, and reports whether any went out.
func (q *orders) flush(worker int, l *lane) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.number == 0 || worker >= len(q.lists) {
		return false
	}
	list, n := &q.lists[worker], 0
	for n < len(*list) && l.replies.SendOrder(&(*list)[n]) {
		n++
	}
	*list = (*list)[:copy(*list, (*list)[n:])]
	q.number -= n
	return n > 0
}

// clear gives up what waits, with the segment that it was about.
func (q *orders) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lists, q.number = nil, 0
}
