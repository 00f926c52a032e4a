package crypto

import (
	"errors"
	"fmt"

	"linecrypt/bench/cores"
	"linecrypt/cryptobatch"
	"linecrypt/dataplane/tsc"
)

// cacheBytes is what the bursts of a measurement take together at most, where they are small: less than a first-level cache.
const cacheBytes = 24 << 10

// subject is an engine of this build. All keys are expanded from the same bytes, each in a place of its own: which key
// sealed a burst then does not matter to what opens it, and an engine works them as it would different ones.
type subject struct {
	engine  cryptobatch.Engine
	batcher cryptobatch.Batcher
	keys    []cryptobatch.Key
	alg     cryptobatch.Algorithm
	next    int // key of the next operation
	step    int
}

func newSubject(name string, keys int) (*subject, error) {
	e, err := cryptobatch.New(name)
	if err != nil {
		return nil, err
	}
	// A step that has no factor in common with the number of keys visits all of them, and no prefetcher foresees it.
	s := &subject{engine: e, batcher: e.NewBatcher(Burst), keys: make([]cryptobatch.Key, keys), step: 7919}
	if keys%s.step == 0 {
		s.step = 7907
	}
	return s, nil
}

func (s *subject) name() string        { return s.engine.Name() }
func (s *subject) does(algorithm) bool { return true }
func (s *subject) shape() (int, int)   { return Burst, len(s.keys) }

func (s *subject) drop() {
	for i := range s.keys {
		s.engine.Wipe(&s.keys[i])
	}
	s.alg = 0
}

func (s *subject) expand(alg cryptobatch.Algorithm) error {
	if s.alg == alg {
		return nil
	}
	s.drop()
	raw := make([]byte, alg.KeyLen())
	for i := range raw {
		raw[i] = byte(i)
	}
	for i := range s.keys {
		if err := s.engine.Expand(&s.keys[i], alg, raw); err != nil {
			return fmt.Errorf("engine %s: %w", s.name(), err)
		}
	}
	s.alg = alg
	return nil
}

// bursts are operations in place, for sealing and for opening the same buffers.
type bursts struct{ seal, open [][]cryptobatch.Op }

func (s *subject) bursts(size int) bursts {
	bytes := Burst * (size + cryptobatch.TagLen)
	var b bursts
	for range max(1, cacheBytes/bytes) {
		mem, aad := make([]byte, bytes), make([]byte, Burst*aadLen)
		seal, open := make([]cryptobatch.Op, Burst), make([]cryptobatch.Op, Burst)
		for i := range seal {
			text := mem[i*(size+cryptobatch.TagLen):]
			op := cryptobatch.Op{Key: &s.keys[0], AAD: aad[i*aadLen : (i+1)*aadLen]}
			op.Nonce[0] = byte(i)
			seal[i], open[i] = op, op
			seal[i].Src, seal[i].Dst = text[:size], text[:size+cryptobatch.TagLen]
			open[i].Src, open[i].Dst = text[:size+cryptobatch.TagLen], text[:size]
		}
		b.seal, b.open = append(b.seal, seal), append(b.open, open)
	}
	return b
}

var errFailed = errors.New("an operation failed")

func (s *subject) measure(r *runner, j job) (float64, error) {
	if err := s.expand(j.alg.id); err != nil {
		return 0, err
	}
	unpin, err := cores.Pin(r.core)
	if err != nil {
		return 0, err
	}
	defer unpin()
	b := s.bursts(j.size)
	pass := s.sealPass
	if j.op == opOpen {
		pass = s.openPass
	}
	if _, ok := pass(b); !ok { // caches and branch predictors
		return 0, fmt.Errorf("engine %s, %s %s: %w", s.name(), j.alg.name, j.op, errFailed)
	}
	var ticks, passes uint64
	for start := tsc.Now(); tsc.Now()-start < r.engineTicks; passes++ {
		t, ok := pass(b)
		if !ok {
			return 0, fmt.Errorf("engine %s, %s %s: %w", s.name(), j.alg.name, j.op, errFailed)
		}
		ticks += t
	}
	return float64(passes) * float64(len(b.seal)*Burst) / float64(ticks) * r.tscRate, nil
}

// turn gives each operation of a burst the next key, where there are several.
func (s *subject) turn(ops []cryptobatch.Op) {
	if len(s.keys) == 1 {
		return
	}
	for i := range ops {
		s.next += s.step
		for s.next >= len(s.keys) {
			s.next -= len(s.keys)
		}
		ops[i].Key = &s.keys[s.next]
	}
}

// sealPass seals all bursts once and returns the ticks it took.
func (s *subject) sealPass(b bursts) (ticks uint64, ok bool) {
	failed := 0
	start := tsc.Now()
	for _, ops := range b.seal {
		s.turn(ops)
		failed += s.batcher.Seal(ops)
	}
	return tsc.Now() - start, failed == 0
}

// openPass opens all bursts once. Sealing them before is not counted, and is done under one key alone, so that it does not
// bring the keys of what follows into the cache.
func (s *subject) openPass(b bursts) (ticks uint64, ok bool) {
	failed := 0
	for _, ops := range b.seal {
		failed += s.batcher.Seal(ops)
	}
	start := tsc.Now()
	for _, ops := range b.open {
		s.turn(ops)
		failed += s.batcher.Open(ops)
	}
	return tsc.Now() - start, failed == 0
}
