package worker

import (
	"bytes"
	"testing"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/handshake"
	"linecrypt/flowtable"
)

// farEnd follows the gateway from one key generation to the next: it is host B of flow 0, and has nothing to say.
type farEnd struct {
	g      *rig
	master tcpcrypt.MasterKey
	w      uint64
	gen    uint32
}

// newFarEnd takes flow 0, opened by the host, to where it is encrypted.
func newFarEnd(t *testing.T, change ...func(*Config)) *farEnd {
	g := newRig(t, 16, 256, false, change...)
	g.keep = true
	activeStages[5].reach(g)
	g.state(flowtable.Encrypted)
	g.toHost, g.toWire = nil, nil
	return &farEnd{g: g, master: g.master, w: 80}
}

// follow answers where the gateway has begun a generation, and acknowledges.
func (f *farEnd) follow(r *flowtable.Record) {
	f.g.t.Helper()
	if r.Rare.SealGen == f.gen {
		return
	}
	f.gen++
	f.master = f.master.Next()
	key := f.master.Traffic(tcpcrypt.AES128GCM, tcpcrypt.BA)
	frame, err := tcpcrypt.Seal(nil, &key, f.w, tcpcrypt.Frame{Rekey: true})
	if err != nil {
		f.g.t.Fatal(err)
	}
	f.g.wire(fromPeer(uint32(f.w)+1, uint32(r.Egress.WNext)+1, ack|psh), frame...)
	f.w += uint64(len(frame))
}

func TestKeepAlivesDoNotKeepAConnectionThatNobodyUses(t *testing.T) {
	f := newFarEnd(t, func(c *Config) {
		c.Stream.KeepIdle, c.Stream.KeepInterval, c.Stream.RekeyTime = 3600*second, 75*second, 1800*second
		c.Params.FlowIdle = 12 * 3600 * second
	})
	g := f.g
	r := g.state(flowtable.Encrypted)
	begin, heard := g.now, 0
	for r.State == flowtable.Encrypted && g.now-begin < 7*24*3600*second {
		g.now += 60 * second
		for range 130 { // the timer wheel does half a second of its way in a poll
			g.turn()
		}
		if r.State == flowtable.Encrypted {
			f.follow(r)
		}
		// Once it hears how large the far end's window is, which only the SYN-ACK has said before.
		if r.State == flowtable.Encrypted {
			heard += len(g.toHost)
		}
		g.toHost, g.toWire = nil, nil
	}
	if heard > 1 {
		t.Errorf("the host has heard %d times of keep-alives", heard)
	}
	if d := g.now - begin; d < g.w.params.FlowIdle || d > g.w.params.FlowIdle+120*second {
		t.Errorf("it ended after %d h", d/second/3600)
	}
	g.counted(1, shm.AbortSilent)
	g.counted(0, shm.AbortKeepAlive)
	if n := g.w.n[shm.KeepAlivesAnswered]; n < 10 || n+1 < g.w.n[shm.KeepAlives] {
		t.Errorf("%d of %d keep-alives were answered", n, g.w.n[shm.KeepAlives])
	}
}

func TestAFarEndFoundDeadIsResetInsideAndReported(t *testing.T) {
	f := newFarEnd(t, func(c *Config) {
		c.Stream.KeepIdle, c.Stream.KeepInterval, c.Stream.KeepProbes = 60*second, 10*second, 3
	})
	f.g.later(95 * second)
	f.g.state(flowtable.Closing)
	f.g.counted(1, shm.AbortKeepAlive)
	if n := len(f.g.closed); n != 1 || f.g.closed[0] != shm.ReasonKeepAlive {
		t.Errorf("the control plane was told %v", f.g.closed)
	}
	if s := f.g.shot(flowtable.Inside, f.g.toHost[0]); s != "RA s1 a1" {
		t.Errorf("the host got %q", s)
	}
	f.g.bothKnow()
}

// TestNothingOfOldKeysIsLeftInSharedMemory looks through the flow table and both rings.
func TestNothingOfOldKeysIsLeftInSharedMemory(t *testing.T) {
	f := newFarEnd(t)
	g := f.g
	r := g.state(flowtable.Encrypted)
	has := func(secret []byte) bool {
		for _, mem := range g.shared {
			if bytes.Contains(mem, secret) {
				return true
			}
		}
		return false
	}
	if !has(g.master[:]) {
		t.Fatal("the master key in use is not found")
	}
	for range 3 {
		g.give(g.orderAbout(shm.Rekey, shm.ReasonNone))
		f.follow(r)
	}
	if r.Rare.SealGen != 3 || r.Rare.OpenGen != 3 {
		t.Fatalf("generations %d and %d", r.Rare.SealGen, r.Rare.OpenGen)
	}
	master := g.master
	for gen := range 3 {
		secrets := [][]byte{master[:]}
		for _, d := range []tcpcrypt.Direction{tcpcrypt.AB, tcpcrypt.BA} {
			key := master.Traffic(tcpcrypt.AES128GCM, d)
			secrets = append(secrets, bytes.Clone(key.Key[:16]), bytes.Clone(key.NR[:]))
		}
		for i, secret := range secrets {
			if has(secret) {
				t.Errorf("secret %d of generation %d is still there", i, gen)
			}
		}
		master = master.Next()
	}
	if !has(master[:]) {
		t.Error("the master key in use is not found")
	}
}

func TestARuleSaysWhenItsConnectionsRekey(t *testing.T) {
	for _, c := range []struct {
		name    string
		rule    func(r *handshake.Rules)
		want    flowtable.RekeyLimits
		rekeyed bool
	}{
		{"as the gateway", func(r *handshake.Rules) { r.Terms.RekeyTime = 3600 * second }, flowtable.RekeyLimits{}, true},
		{"sooner", func(r *handshake.Rules) { r.Terms.RekeyTime, r.Terms.RekeyFrames = 60*second, 1000 }, flowtable.RekeyLimits{Frames: 9, Time: 35}, true},
		{"never", func(r *handshake.Rules) {}, flowtable.RekeyLimits{Time: never}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newRig(t, 16, 256, false, func(cfg *Config) { cfg.Stream.RekeyTime = 3600 * second })
			c.rule(g.ctl.Rules())
			activeStages[5].reach(g)
			r := g.state(flowtable.Encrypted)
			if r.Rare.Rekey != c.want || (r.Rare.RekeyAt != 0) != c.rekeyed {
				t.Errorf("limits %+v, timer %d", r.Rare.Rekey, r.Rare.RekeyAt)
			}
		})
	}
}
