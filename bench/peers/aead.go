package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"linecrypt/bench/cores"
	"linecrypt/bench/packetpath"
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/port"
)

// aeadKeys is how many keys the AEAD is measured with by itself: as many as flows it is compared at.
const aeadKeys = 1000

// aeadTime is how long one measurement of the AEAD takes.
const aeadTime = 200 * time.Millisecond

// aead is the AEAD by itself, as the worker uses it: in bursts, under a key that is another one each time. All keys are expanded from
// the same bytes, so that each opens what any of them has sealed.
type aead struct {
	engine cryptobatch.Engine
	batch  cryptobatch.Batcher
	keys   []cryptobatch.Key
	next   int
	ops    []cryptobatch.Op
}

func newAEAD(size int) (*aead, error) {
	engine, err := cryptobatch.New(cryptobatch.Auto)
	if err != nil {
		return nil, err
	}
	a := &aead{engine: engine, batch: engine.NewBatcher(port.Burst), keys: make([]cryptobatch.Key, aeadKeys), ops: make([]cryptobatch.Op, port.Burst)}
	for i := range a.keys {
		if err := engine.Expand(&a.keys[i], cryptobatch.AES128GCM, make([]byte, cryptobatch.AES128GCM.KeyLen())); err != nil {
			return nil, fmt.Errorf("engine %s: %w", engine.Name(), err)
		}
	}
	for i := range a.ops {
		frame := make([]byte, tcpcrypt.HeaderLen+size+cryptobatch.TagLen)
		text := frame[tcpcrypt.HeaderLen:]
		a.ops[i] = cryptobatch.Op{AAD: frame[:tcpcrypt.HeaderLen], Src: text[:size], Dst: text}
	}
	return a, nil
}

// wipe gives up the keys.
func (a *aead) wipe() {
	for i := range a.keys {
		a.engine.Wipe(&a.keys[i])
	}
}

// turn gives each operation the next key. No prefetcher foresees the step.
func (a *aead) turn() {
	for i := range a.ops {
		a.next = (a.next + 379) % len(a.keys)
		a.ops[i].Key = &a.keys[a.next]
	}
}

// measure seals the burst, or opens it, again and again.
func (a *aead) measure(c packetpath.Case, core int) (figure, error) {
	unpin, err := cores.Pin(core)
	if err != nil {
		return figure{}, err
	}
	defer unpin()
	work := a.batch.Seal
	if c == packetpath.Open {
		a.turn()
		failed := a.batch.Seal(a.ops)
		for i := range a.ops {
			a.ops[i].Src, a.ops[i].Dst = a.ops[i].Dst, make([]byte, len(a.ops[i].Src)) // what is opened in place is gone
		}
		if failed > 0 {
			return figure{}, errors.New("an operation failed")
		}
		work = a.batch.Open
	}
	n, failed, share, start := 0, 0, packetpath.Share(), time.Now()
	for time.Since(start) < aeadTime {
		for range 64 {
			a.turn()
			failed += work(a.ops)
			n += len(a.ops)
		}
	}
	spent := time.Since(start).Seconds()
	if failed > 0 {
		return figure{}, fmt.Errorf("%d of %d operations failed", failed, n)
	}
	return figureOf(float64(n)/spent, share())
}

// aeadJobs makes those of the AEAD by itself.
func (o *options) aeadJobs() (jobs []*job) {
	for _, size := range o.sizes {
		for _, c := range []packetpath.Case{packetpath.Seal, packetpath.Open} {
			jobs = append(jobs, &job{what: what{aeadName, c, aeadKeys, size}, measure: func(context.Context) (figure, error) {
				a, err := newAEAD(size)
				if err != nil {
					return figure{}, err
				}
				defer a.wipe()
				return a.measure(c, o.core)
			}})
		}
	}
	return jobs
}
