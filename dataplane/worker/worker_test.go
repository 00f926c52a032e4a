package worker

import (
	"testing"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

func TestIncompleteConfigurationIsRefused(t *testing.T) {
	if _, err := New(Config{ID: 3}); err == nil {
		t.Error("accepted")
	}
}

func TestIdleWorkerSleepsIfAdaptiveAndStopsWhenTold(t *testing.T) {
	for _, adaptive := range []bool{false, true} {
		g := newRig(t, 4, 64, false)
		g.w.params.Adaptive, g.w.idle.adaptive = adaptive, adaptive
		idled, done := make(chan struct{}), make(chan struct{})
		turns := 0
		go func() {
			defer close(done)
			g.w.Run(func() int64 {
				if turns++; turns == spins+8 { // on a busy machine that may take any time
					close(idled)
				}
				return g.now
			})
		}()
		<-idled
		g.w.Stop()
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Fatal("the worker does not stop")
		}
		if slept := g.w.n[shm.IdleSleeps] > 0; slept != adaptive {
			t.Errorf("adaptive %v, but slept %v", adaptive, slept)
		}
		if g.w.n[shm.IdlePolls] == 0 || g.w.n[shm.IdleCycles] == 0 {
			t.Error("idle polls are not counted")
		}
	}
}

// fullQueue takes nothing.
type fullQueue struct{ testQueue }

func (*fullQueue) TxBurst([]*mbuf.Mbuf) int { return 0 }

func TestWhatAPortHasNoRoomForIsCounted(t *testing.T) {
	g := newShooter(t)
	g.w.tx[outside].q = &fullQueue{}
	g.w.rx[outside] = &fullQueue{}
	g.host(hostSYN())
	g.counted(1, shm.DropTxFull)
	g.counted(0, shm.TxOutsideBytes)
}

func TestFullRequestRingDelaysAQuestion(t *testing.T) {
	g := passiveStages[2].at(t)
	g.mute = true
	for n := 0; g.w.n[shm.RequestsDeferred] == 0; n++ {
		g.w.req = shm.Request{Kind: shm.Closed}
		if !g.w.cfg.Requests.SendRequest(&g.w.req) {
			break
		}
	}
	g.wire(fromPeer(41, 1, ack|psh), initMessage(1)[40:]...)
	g.state(flowtable.PassiveInit + 1)
	g.counted(1, shm.RequestsDeferred)
	g.mute = false
	g.turn()
	g.later(2 * second)
	g.state(flowtable.Encrypted)
}

func TestWithoutBuffersNothingIsLostForGood(t *testing.T) {
	g := passiveStages[3].at(t)
	all := g.takeBuffers()
	g.turn() // Init2 finds no buffer
	g.state(flowtable.PassiveKeys)
	g.in.cache.FreeBurst(all)
	g.later(3 * second)
	g.state(flowtable.Encrypted)
}

// takeBuffers takes all buffers there are.
func (g *rig) takeBuffers() (all []*mbuf.Mbuf) {
	for m := g.in.cache.Alloc(); m != nil; m = g.in.cache.Alloc() {
		all = append(all, m)
	}
	return all
}
