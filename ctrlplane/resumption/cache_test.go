package resumption

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

const second = int64(1e9)

// memory returns memory for a table, aligned as shared memory is.
func memory(capacity int) []byte {
	words := make([]uint64, (Size(capacity)+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))
}

func newTable(t testing.TB, capacity int) *Table {
	t.Helper()
	mem := memory(capacity)
	if err := Format(mem, capacity); err != nil {
		t.Fatal(err)
	}
	table, err := Attach(mem, capacity)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func newCache(t testing.TB, capacity int) *Cache {
	return NewCache(newTable(t, capacity), time.Hour)
}

func tuple(inside, outside string) *flowtable.Key {
	return &flowtable.Key{Inside: netip.MustParseAddr(inside).As16(), Outside: netip.MustParseAddr(outside).As16(), InsidePort: 4000, OutsidePort: 80}
}

func any(tcpcrypt.TEP, tcpcrypt.AEAD) bool { return true }

func flow(n int) Flow { return Flow{Worker: uint16(n % 3), Index: flowtable.Index(n), Gen: uint32(n)} }

func secretOf(n uint64) *tcpcrypt.Secret {
	s := tcpcrypt.Secret{1, byte(n), byte(n >> 8), byte(n >> 16)}
	return &s
}

func session(n uint64, sends tcpcrypt.Direction, k *flowtable.Key) Session {
	return Session{
		Secret: secretOf(n), TEP: tcpcrypt.ECDHECurve25519, AEAD: tcpcrypt.AES256GCM, Sends: sends, Flow: flow(1000 + int(n)), Tuple: k,
	}
}

func TestBothEndsFindTheSecretByWhatTheOtherSends(t *testing.T) {
	a, b := newCache(t, 64), newCache(t, 64)
	ka, kb := tuple("10.0.0.1", "10.0.0.2"), tuple("10.0.0.2", "10.0.0.1")
	a.Keep(session(1, tcpcrypt.AB, ka), second)
	b.Keep(session(1, tcpcrypt.BA, kb), second)
	for _, end := range []struct {
		opens, answers *Cache
		k              *flowtable.Key
	}{{a, b, ka}, {b, a, kb}} {
		mine, ok := end.opens.t.FindPair(end.k, 2*second, any)
		if !ok {
			t.Fatal("nothing to open with")
		}
		theirs, ok := end.answers.t.FindHalf(mine.Ours[:], 2*second)
		if !ok || theirs.Ours != mine.Theirs || theirs.Theirs != mine.Ours || theirs.Sends != mine.Sends.Reverse() || theirs.AEAD != tcpcrypt.AES256GCM {
			t.Fatalf("%+v is answered by %+v, %v", mine, theirs, ok)
		}
		if _, ok := end.answers.t.FindHalf(theirs.Ours[:], 2*second); ok {
			t.Error("an identifier is found by the half that its owner sends")
		}
	}
	if _, ok := a.t.FindPair(tuple("10.0.0.1", "10.0.0.3"), 2*second, any); ok {
		t.Error("found for another host")
	}
	if _, ok := a.t.FindPair(ka, 2*second, func(tcpcrypt.TEP, tcpcrypt.AEAD) bool { return false }); ok {
		t.Error("found although nobody likes it")
	}
}

func TestOfManyClaimsOneSucceeds(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	for n := range uint64(200) {
		c.Keep(session(n, tcpcrypt.AB, k), second)
		found, ok := c.t.FindPair(k, second, any)
		if !ok {
			t.Fatal("not found")
		}
		var wg sync.WaitGroup
		var won atomic.Int32
		for i := range 8 {
			wg.Go(func() {
				if c.t.Claim(found.Handle, flow(i+1)) {
					won.Add(1)
				}
			})
		}
		wg.Go(func() { c.FlushAll() })
		wg.Wait()
		if won.Load() > 1 {
			t.Fatalf("%d claims of one secret succeed", won.Load())
		}
		if _, ok := c.t.FindPair(k, second, any); ok {
			t.Fatal("what is claimed, or flushed, is found")
		}
		c.Sweep(second, 1, func(Flow, Handle) Fate { return Missed })
	}
}

func claim(t *testing.T, c *Cache, k *flowtable.Key, f Flow) Handle {
	t.Helper()
	found, ok := c.t.FindPair(k, second, any)
	if !ok || !c.t.Claim(found.Handle, f) {
		t.Fatal("nothing to claim")
	}
	return found.Handle
}

func TestKeysAreGivenToTheClaimerAloneAndTheNextSecretIsKeptOnce(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	if _, ok := c.Take(1<<handleGen|1, flow(1)); ok {
		t.Error("taken without a claim")
	}
	h := claim(t, c, k, flow(1))
	if _, ok := c.Take(h, flow(2)); ok {
		t.Error("taken by another connection")
	}
	for i := range 3 {
		if i == 2 {
			c = NewCache(c.t, time.Hour) // another control plane
		}
		got, ok := c.Take(h, flow(1))
		want := secretOf(1).Next()
		if !ok || got.Secret != want || got.Index != 1 || got.First != (i == 0) {
			t.Fatalf("take %d: %v, index %d, first %v", i, ok, got.Index, got.First)
		}
	}
	c.t.Spend(h, flow(2))
	if _, ok := c.Take(h, flow(1)); !ok {
		t.Error("another connection's end has spent it")
	}
	c.t.Spend(h, flow(1))
	if s := c.t.held(h); s.secret != (tcpcrypt.Secret{}) {
		t.Error("a spent secret lies in memory")
	}
	if _, ok := c.Take(h, flow(1)); ok {
		t.Error("taken after it was spent")
	}
}

func TestDisownedSecretIsErasedAndHasNoSuccessor(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	h := claim(t, c, k, flow(1))
	c.t.Disown(h, flow(2))
	if s := c.t.held(h); s.secret == (tcpcrypt.Secret{}) {
		t.Fatal("another connection has disowned it")
	}
	c.t.Disown(h, flow(1))
	if s := c.t.held(h); s.secret != (tcpcrypt.Secret{}) {
		t.Error("a disowned secret lies in memory")
	}
	if _, ok := c.Take(h, flow(1)); ok {
		t.Error("taken after it was disowned")
	}
	c.Sweep(2*second, 1, func(Flow, Handle) Fate { return Failed })
	if _, ok := c.t.FindPair(k, 2*second, any); ok || c.Len() != 0 {
		t.Errorf("another one is ready: %v; %d are kept", ok, c.Len())
	}
}

func TestClaimInVainIsFollowedByTheNextSecret(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	want := secretOf(1).Next()
	for i := range 4 {
		f := flow(i + 1)
		h := claim(t, c, k, f)
		c.Sweep(second, 1, func(Flow, Handle) Fate { return Pending })
		if _, ok := c.t.FindPair(k, second, any); ok {
			t.Fatal("a secret in use is found")
		}
		if i == 2 {
			c = NewCache(c.t, time.Hour)
		}
		c.Sweep(second, 1, func(got Flow, gotHandle Handle) Fate {
			if got != f || gotHandle != h {
				t.Errorf("asked about %v, %x", got, gotHandle)
			}
			return Failed
		})
		if c.t.Claim(h, f) {
			t.Fatal("a handle of the last secret claims the next one")
		}
		want = want.Next()
		found, ok := c.t.FindPair(k, second, any)
		if id := want.ResumeID(); !ok || string(found.Ours[:]) != string(id[:9]) || string(found.Theirs[:]) != string(id[9:]) {
			t.Fatalf("after %d claims in vain ss[%d] is not the one on offer", i+1, i+2)
		}
	}
}

func TestSecretThatTheFarEndDoesNotKnowIsForgotten(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	claim(t, c, k, flow(1))
	c.Sweep(second, 1, func(Flow, Handle) Fate { return Missed })
	if c.Len() != 0 || c.t.slots[0].secret != (tcpcrypt.Secret{}) {
		t.Error("it is still there")
	}
}

func TestWorkerKilledWithinAClaimCostsOneSecret(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	h := claim(t, c, k, flow(1))
	storeFlow(&c.t.held(h).owner, Flow{})
	look := func(Flow, Handle) Fate { t.Error("asked about nobody"); return Failed }
	c.Sweep(second, 1, look)
	c.Sweep(2*second, 1, look)
	if _, ok := c.t.FindPair(k, 2*second, any); ok {
		t.Fatal("found at once")
	}
	c.Sweep(100*second, 1, look)
	if found, ok := c.t.FindPair(k, 100*second, any); !ok || found.Handle == h {
		t.Error("the next secret is not on offer")
	}
}

func TestControlPlaneKilledWhileItWritesLeavesNothingOfIt(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	s := c.t.at(uint32(claimless(c)))
	s.state.Store(filling.in(s.state.Load()))
	c = NewCache(c.t, time.Hour)
	if c.Len() != 0 || s.secret != (tcpcrypt.Secret{}) {
		t.Error("a half-written secret is taken over")
	}
	c.Keep(session(2, tcpcrypt.AB, k), second)
	c = NewCache(c.t, time.Hour)
	if _, ok := c.t.FindPair(k, second, any); !ok || c.Len() != 1 {
		t.Error("a whole one is not")
	}
}

// claimless returns the number of the one slot that is ready.
func claimless(c *Cache) int {
	for i := range c.t.slots {
		if statusOf(c.t.slots[i].state.Load()) == ready {
			return i + 1
		}
	}
	return 0
}

func TestSecretsExpire(t *testing.T) {
	c := NewCache(newTable(t, 64), time.Minute)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	if _, ok := c.t.FindPair(k, 60*second, any); !ok {
		t.Error("not found in time")
	}
	if _, ok := c.t.FindPair(k, 61*second, any); ok {
		t.Error("found after its time")
	}
	c.Sweep(61*second, 1, nil)
	if c.Len() != 0 || c.Stats().Expired() != 1 {
		t.Error("it is kept on")
	}
}

func TestOnePairOfHostsHasABoundedNumber(t *testing.T) {
	c := newCache(t, 256)
	k := tuple("10.0.0.1", "10.0.0.2")
	for n := range uint64(50) {
		c.Keep(session(n, tcpcrypt.AB, k), second+int64(n))
	}
	if c.Len() != pairSecrets {
		t.Errorf("%d are kept", c.Len())
	}
	again := session(100, tcpcrypt.AB, k)
	again.Flow = session(49, tcpcrypt.AB, k).Flow
	c.Keep(again, 2*second)
	if c.Len() != pairSecrets {
		t.Errorf("a second answer to one connection leaves %d", c.Len())
	}
}

func TestPeerThatHoldsMostPaysFirst(t *testing.T) {
	const capacity = 256
	c := newCache(t, capacity)
	modest := tuple("10.0.0.1", "192.0.2.1")
	c.Keep(session(1, tcpcrypt.AB, modest), second)
	for n := range 4000 {
		greedy := tuple(fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), fmt.Sprintf("198.51.100.%d", n%256))
		c.Keep(session(uint64(n+2), tcpcrypt.AB, greedy), second)
	}
	if _, ok := c.t.FindPair(modest, second, any); !ok {
		t.Error("another peer's secret was evicted")
	}
	for n := range 200 {
		k := tuple("10.0.0.1", fmt.Sprintf("203.0.%d.1", n))
		c.Keep(session(uint64(n+5000), tcpcrypt.AB, k), second)
	}
	// Who holds most is looked for among a few slots: now and then somebody else pays.
	if h := c.peers[tuple("10.0.0.1", "198.51.100.1").Peer()]; h != nil && h.n > capacity-200+capacity/16 {
		t.Errorf("the greedy peer has %d of %d while others come", h.n, capacity)
	}
	if c.Len() > capacity {
		t.Error("more than there are slots")
	}
}

func TestFlushForgetsWhatItNames(t *testing.T) {
	keep := func() (*Cache, *flowtable.Key, *flowtable.Key) {
		c := newCache(t, 64)
		one, two := tuple("10.0.0.1", "10.0.0.2"), tuple("10.0.0.1", "10.9.0.2")
		c.Keep(session(1, tcpcrypt.AB, one), second)
		c.Keep(session(2, tcpcrypt.AB, two), second)
		return c, one, two
	}
	c, _, _ := keep()
	if c.FlushAll() != 2 || c.Len() != 0 {
		t.Error("not all are flushed")
	}
	c, one, two := keep()
	if n := c.FlushPeer(netip.MustParsePrefix("10.9.0.0/16")); n != 1 {
		t.Errorf("%d of a peer are flushed", n)
	}
	if _, ok := c.t.FindPair(two, second, any); ok {
		t.Error("the peer's is there")
	}
	if _, ok := c.t.FindPair(one, second, any); !ok {
		t.Error("another's is not")
	}
	if n := c.FlushConnection(session(1, tcpcrypt.AB, one).Flow); n != 1 || c.Len() != 0 {
		t.Errorf("%d of a connection are flushed", n)
	}
}

func TestFlushOfAConnectionReachesWhatOthersMadeOfItsSecret(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	first := session(1, tcpcrypt.AB, k)
	c.Keep(first, second)
	h := claim(t, c, k, flow(1))
	got, _ := c.Take(h, flow(1))
	c.Keep(Session{Secret: &got.Secret, Index: got.Index, TEP: got.TEP, AEAD: got.AEAD, Sends: got.Sends, Chain: got.Chain, Flow: flow(1), Tuple: k}, second)
	c.t.Spend(h, flow(1))
	if n := c.FlushConnection(first.Flow); n != 1 {
		t.Errorf("%d are flushed", n)
	}
	if _, ok := c.t.FindPair(k, second, any); ok {
		t.Error("a secret of the connection's session is on offer")
	}
}

func TestNothingIsKeptOnFromASecretFlushedInUse(t *testing.T) {
	c := newCache(t, 64)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	h := claim(t, c, k, flow(1))
	c.FlushAll()
	if got, ok := c.Take(h, flow(1)); !ok || got.First {
		t.Error("the connection that has it loses it, or its successor is to be kept")
	}
}

func TestMemoryOfAnotherSizeIsRefused(t *testing.T) {
	if _, err := Attach(memory(64), 64); !errors.Is(err, ErrTable) {
		t.Error(err)
	}
	mem := memory(64)
	if err := Format(mem, 64); err != nil {
		t.Fatal(err)
	}
	if _, err := Attach(mem, 63); !errors.Is(err, ErrTable) {
		t.Error(err)
	}
	if err := Format(mem, 65); !errors.Is(err, ErrTable) {
		t.Error(err)
	}
	if none, err := Attach(nil, 0); none != nil || err != nil {
		t.Error(none, err)
	}
}

func TestNoTableFindsAndKeepsNothing(t *testing.T) {
	var table *Table
	c := NewCache(table, time.Hour)
	c.Keep(session(1, tcpcrypt.AB, tuple("10.0.0.1", "10.0.0.2")), second)
	c.Sweep(second, 1, nil)
	c.Ended(flow(1))
	if _, ok := table.FindPair(tuple("10.0.0.1", "10.0.0.2"), second, any); ok || c.Len() != 0 || c.FlushAll() != 0 || table.Claim(1<<handleGen, flow(1)) {
		t.Error("something is there")
	}
}

func TestEraseLeavesNoSecret(t *testing.T) {
	c := newCache(t, 64)
	for n := range uint64(40) {
		c.Keep(session(n, tcpcrypt.AB, tuple("10.0.0.1", fmt.Sprintf("10.0.%d.2", n))), second)
	}
	c.t.Erase()
	for i := range c.t.slots {
		if s := &c.t.slots[i]; s.secret != (tcpcrypt.Secret{}) || statusOf(s.state.Load()) != free {
			t.Fatal("a secret is left")
		}
	}
}

// TestNoSecretIsClaimedTwiceHoweverThingsHappen lets workers, control planes that are killed, and time do what they may in any order.
func TestNoSecretIsClaimedTwiceHoweverThingsHappen(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := newCache(t, 24)
		used := map[Half]Flow{}
		type live struct {
			h    Handle
			f    Flow
			k    *flowtable.Key
			fate Fate
		}
		var flows []live
		now, made := second, uint64(seed*1000)
		for step := range 4000 {
			now += r.Int64N(second)
			k := tuple("10.0.0.1", fmt.Sprintf("10.0.%d.2", r.IntN(4)))
			f := flow(step + 1)
			switch r.IntN(8) {
			case 0:
				made++
				s := session(made, tcpcrypt.Direction(r.IntN(2)), k)
				s.Flow = f
				c.Keep(s, now)
			case 1, 2, 3:
				found, ok := c.t.FindPair(k, now, any)
				if !ok || !c.t.Claim(found.Handle, f) {
					continue
				}
				if by, twice := used[found.Ours]; twice {
					t.Fatalf("seed %d: %v and %v claim one secret", seed, by, f)
				}
				used[found.Ours] = f
				flows = append(flows, live{found.Handle, f, k, Fate(r.IntN(4))})
			case 4:
				if len(flows) == 0 {
					continue
				}
				l := flows[r.IntN(len(flows))]
				if got, ok := c.Take(l.h, l.f); ok {
					killed := r.IntN(3) == 0 // before the next one is kept
					if got.First && !killed {
						c.Keep(Session{Secret: &got.Secret, Index: got.Index, TEP: got.TEP, AEAD: got.AEAD, Sends: got.Sends, Chain: got.Chain, Flow: l.f, Tuple: l.k}, now)
					}
					if r.IntN(2) == 0 {
						c.t.Spend(l.h, l.f)
					}
				}
			case 5:
				c.Sweep(now, 3, func(f Flow, h Handle) Fate {
					for _, l := range flows {
						if l.h == h && l.f == f {
							return l.fate
						}
					}
					return Failed
				})
			case 6:
				if r.IntN(4) == 0 {
					c = NewCache(c.t, time.Hour)
				}
			case 7:
				if r.IntN(20) == 0 {
					c.FlushPeer(netip.MustParsePrefix("10.0.2.0/24"))
				}
			}
		}
		if len(used) < 100 {
			t.Errorf("seed %d: only %d secrets were claimed", seed, len(used))
		}
	}
}

func BenchmarkClaimAndKeepOn(b *testing.B) {
	c := newCache(b, 16384)
	k := tuple("10.0.0.1", "10.0.0.2")
	c.Keep(session(1, tcpcrypt.AB, k), second)
	b.ReportAllocs()
	for i := 1; b.Loop(); i++ {
		found, ok := c.t.FindPair(k, second, any)
		if !ok || !c.t.Claim(found.Handle, flow(i)) {
			b.Fatal("nothing to claim")
		}
		got, ok := c.Take(found.Handle, flow(i))
		if !ok {
			b.Fatal("not taken")
		}
		c.Keep(Session{Secret: &got.Secret, Index: got.Index, TEP: got.TEP, AEAD: got.AEAD, Sends: got.Sends, Chain: got.Chain, Flow: flow(i), Tuple: k}, second)
		c.t.Spend(found.Handle, flow(i))
		c.Ended(flow(i))
	}
}
