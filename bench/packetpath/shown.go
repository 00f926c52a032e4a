package packetpath

import (
	"errors"
	"sync"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
)

// beat is the interval of the heartbeat of a world that can be looked at, as of a data plane.
const beat = 50 * time.Millisecond

// shown makes programs take a world for the data plane of an instance.
type shown struct {
	in      *instance.Instance
	lock    *instance.Lock
	seg     *shm.Segment
	end     chan struct{}
	beating sync.WaitGroup
}

// show makes the segment where programs look for it.
func show(in *instance.Instance, cfg *config.Config, p shm.Params, clock func() int64) (s *shown, err error) {
	s = &shown{in: in, end: make(chan struct{})}
	if s.lock, err = in.Lock(instance.DataPlane); err != nil {
		return nil, err
	}
	places := in.SegmentPlaces(cfg.Memory.HugePages)
	p.Name, p.Inside, p.Outside, p.Poll, p.Resumption = in.Name(), "inside", "outside", string(cfg.Workers.Poll), cfg.Resumption.Cache
	s.seg, _, err = shm.CreateIn(shm.Place{Huge: places.Huge, Dir: places.Plain, Stale: places.Stale}, p)
	if err == nil {
		err = in.SetSegmentDir(s.seg.Dir())
	}
	if err != nil {
		err = errors.Join(err, s.close())
		if s.seg != nil {
			err = errors.Join(err, s.seg.Close())
		}
		return nil, err
	}
	s.beating.Go(func() {
		for tick := time.NewTicker(beat); ; {
			s.seg.Beat(clock())
			s.seg.TakeRules(s.seg.RulesVersion()) // all connections are there: no rule is asked for
			select {
			case <-s.end:
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	return s, nil
}

// close ends the data plane, as programs see it. The segment is closed after that.
func (s *shown) close() error {
	close(s.end)
	s.beating.Wait()
	var err error
	if s.seg != nil {
		s.seg.SetReady(false)
		err = s.seg.Unlink()
	}
	return errors.Join(err, s.lock.Release(), s.in.Tidy())
}
