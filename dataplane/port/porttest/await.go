package porttest

import (
	"testing"
	"time"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// patience is how long what is waited for may take on a machine that has much else to do.
const patience = 5 * time.Second

// Poll receives the next of Frame's frames, nil when none comes in time; others are freed.
func Poll(q port.Queue, c *mbuf.Cache) *mbuf.Mbuf {
	var ms [1]*mbuf.Mbuf
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if q.RxBurst(ms[:]) == 0 {
			continue
		}
		if IsFrame(ms[0].Data()) {
			return ms[0]
		}
		c.Free(ms[0])
	}
	return nil
}

// Followed polls and follows until the state is as wanted.
func Followed(t testing.TB, p port.Port, c *mbuf.Cache, want func(port.State) bool) (s port.State) {
	t.Helper()
	var ms [port.Burst]*mbuf.Mbuf
	for end := time.Now().Add(2 * patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s = p.Follow()
		for range 3 {
			c.FreeBurst(ms[:p.Queue(0).RxBurst(ms[:])])
		}
		if want(s) {
			return s
		}
	}
	t.Fatalf("state %+v", s)
	return s
}

// IsUp and IsGone are what is wanted most.
func IsUp(s port.State) bool { return s.Link == port.LinkUp }

// IsGone reports whether there is no device.
func IsGone(s port.State) bool { return s.Link == port.LinkGone }
