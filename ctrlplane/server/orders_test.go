package server

import (
	"errors"
	"testing"

	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// receiveOrder waits for a worker's next order.
func (p *plane) receiveOrder(worker int) shm.Order {
	p.t.Helper()
	var o shm.Order
	c := p.lanes[worker].replies
	eventually(p.t, "an order comes", func() bool {
		msg, err := c.Peek()
		if err != nil {
			p.t.Fatal(err)
		}
		if msg == nil {
			return false
		}
		if err := o.Decode(msg); err != nil {
			p.t.Fatal(err)
		}
		c.Release()
		return true
	})
	return o
}

func (p *plane) entry(worker int, port uint16) sessiontable.Entry {
	ref, key := p.flow(worker, port, flowtable.Encrypted)
	return sessiontable.Entry{Tuple: key, Worker: ref.Worker, Index: ref.Index, Gen: ref.Gen}
}

func TestAnOrderReachesTheWorkerOfItsConnection(t *testing.T) {
	p := newPlane(t, t.TempDir(), 2)
	s, _ := run(t, options(p.dir))
	for worker := range 2 {
		e := p.entry(worker, uint16(1000+worker))
		for _, want := range []shm.Order{OrderAbout(&e, shm.Rekey, shm.ReasonNone), OrderAbout(&e, shm.Kill, shm.ReasonOrdered)} {
			if err := s.Order(want); err != nil {
				t.Fatal(err)
			}
			if got := p.receiveOrder(worker); got != want {
				t.Errorf("%+v, not %+v", got, want)
			}
		}
	}
}

func TestOrdersWaitForRoomInTheRingAndTooManyAreRefused(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	e := p.entry(0, 1000)
	given := 0
	var err error
	for ; err == nil && given < 10*maxOrders; given++ {
		err = s.Order(OrderAbout(&e, shm.Rekey, shm.ReasonNone))
	}
	if given--; !errors.Is(err, ErrOrders) || given < maxOrders {
		t.Fatalf("%d orders: %v", given, err)
	}
	for range given {
		p.receiveOrder(0)
	}
	p.mustBegin(0)
}

func TestOrdersThatCannotBeSentAreRefused(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	e := p.entry(0, 1000)
	s, stop := run(t, options(p.dir))
	o := OrderAbout(&e, shm.Rekey, shm.ReasonNone)
	o.Ref.Worker = 1
	if err := s.Order(o); !errors.Is(err, ErrNoConnection) {
		t.Errorf("to a worker that does not exist: %v", err)
	}
	if err := s.Order(OrderAbout(&e, shm.Kill, shm.ReasonNone)); !errors.Is(err, shm.ErrMessage) {
		t.Errorf("to kill for no reason: %v", err)
	}
	stop()
	if err := s.Order(OrderAbout(&e, shm.Rekey, shm.ReasonNone)); !errors.Is(err, ErrNoDataPlane) {
		t.Errorf("without a data plane: %v", err)
	}
}
