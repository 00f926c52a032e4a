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

// coldFrames is how many frames have their turn where each comes from the third-level cache: as many as package packetpath writes packets
// before they are polled.
const coldFrames = 4096

// aead is the AEAD by itself, as the worker uses it: in bursts, under a key that is another one each time. All keys are expanded from
// the same bytes, so that each opens what any of them has sealed.
type aead struct {
	engine cryptobatch.Engine
	batch  cryptobatch.Batcher
	keys   []cryptobatch.Key
	next   int
	frames [][]byte // header, text and tag, each in its turn: one burst of them, or many
	plain  [][]byte // where they are opened to; nil while they are sealed
	turns  int
	ops    []cryptobatch.Op
}

// newAEAD makes it for frames of so many bytes of text, a multiple of a burst of them.
func newAEAD(size, frames int) (*aead, error) {
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
	n := tcpcrypt.HeaderLen + size + cryptobatch.TagLen
	all := make([]byte, n*frames)
	for i := range frames {
		a.frames = append(a.frames, all[i*n:(i+1)*n:(i+1)*n])
	}
	return a, nil
}

// wipe gives up the keys.
func (a *aead) wipe() {
	for i := range a.keys {
		a.engine.Wipe(&a.keys[i])
	}
}

// turn gives each operation the next key, and the next frame where there are more than it has already. No prefetcher foresees the step from
// key to key.
func (a *aead) turn() {
	for i := range a.ops {
		if len(a.frames) > len(a.ops) || a.ops[i].AAD == nil {
			a.place(&a.ops[i])
		}
		a.next = (a.next + 379) % len(a.keys)
		a.ops[i].Key = &a.keys[a.next]
	}
}

// place makes an operation one on the next frame.
func (a *aead) place(op *cryptobatch.Op) {
	frame := a.frames[a.turns]
	text := frame[tcpcrypt.HeaderLen:]
	op.AAD, op.Src, op.Dst = frame[:tcpcrypt.HeaderLen], text[:len(text)-cryptobatch.TagLen], text
	if a.plain != nil {
		op.Src, op.Dst = text, a.plain[a.turns] // what is opened in place is gone
	}
	a.turns = (a.turns + 1) % len(a.frames)
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
		var plain [][]byte
		for len(plain) < len(a.frames) {
			a.turn()
			if a.batch.Seal(a.ops) > 0 {
				return figure{}, errors.New("an operation failed")
			}
			for i := range a.ops {
				plain = append(plain, make([]byte, len(a.ops[i].Src)))
			}
		}
		work, a.plain = a.batch.Open, plain
		clear(a.ops)
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

// aeadJobs makes those of the AEAD by itself at a size, on one burst of frames, which stays in the caches, and on many.
func (o *options) aeadJobs(size int) (jobs []*job) {
	for _, c := range []packetpath.Case{packetpath.Seal, packetpath.Open} {
		for _, name := range []string{aeadName, coldAEADName} {
			jobs = append(jobs, &job{what: what{name, c, aeadKeys, size}, measure: func(context.Context) (figure, error) {
				frames := port.Burst
				if name == coldAEADName {
					frames = coldFrames
				}
				a, err := newAEAD(size, frames)
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
