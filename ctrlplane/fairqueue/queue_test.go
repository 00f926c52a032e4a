package fairqueue

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Costs of the two classes of these tests, in the proportion of the cheapest and the dearest key agreement.
const (
	cheap, dear               = 0, 1
	cheapCost, dearCost       = 100, 3000
	patience            int64 = 1_000_000
)

var costs = []int64{cheap: cheapCost, dear: dearCost}

type dropped struct {
	value string
	why   Reason
}

type rig struct {
	*Queue[string, string]
	now     int64
	dropped []dropped
}

func newRig(change func(*Limits)) *rig {
	l := Limits{Classes: 2, Requests: 1000, Bytes: 1 << 20, PeerCost: 1 << 40, Patience: patience}
	if change != nil {
		change(&l)
	}
	r := new(rig)
	r.Queue = New[string](l, func(v string, why Reason) { r.dropped = append(r.dropped, dropped{v, why}) })
	return r
}

func peerOf(n int) Peer { return Peer(n) }

func lineOf(n int) Line { return Line{byte(n >> 8), byte(n)} }

// push lets a request of a peer's only line wait; its value is its ID.
func (r *rig) push(id string, peer, class int) { r.pushLine(id, peer, 0, class, true) }

func (r *rig) pushLine(id string, peer, line, class int, urgent bool) {
	r.Push(Request[string, string]{
		ID: id, Peer: peerOf(peer), Line: lineOf(line), Class: class, Urgent: urgent, Cost: costs[class], Bytes: 100, Value: id,
	}, r.now)
}

// next serves one request, which takes as long as its cost.
func (r *rig) next(t *testing.T) string {
	t.Helper()
	v, ok := r.Next(r.now)
	if !ok {
		t.Fatal("nothing waits")
	}
	return v
}

func (r *rig) serve(n int) []string {
	var all []string
	for range n {
		v, ok := r.Next(r.now)
		if !ok {
			break
		}
		all = append(all, v)
	}
	return all
}

func TestFloodOfDearRequestsDelaysACheapOneOfAnotherByOneAtMost(t *testing.T) {
	for name, peers := range map[string]int{"one peer": 1, "many peers": 100} {
		t.Run(name, func(t *testing.T) {
			r := newRig(nil)
			for i := range 500 {
				r.push(fmt.Sprint("flood", i), 1+i%peers, dear)
			}
			r.serve(37) // it goes on for a while
			for i := range 20 {
				id := fmt.Sprint("honest", i)
				r.push(id, 999, cheap)
				if got := r.serve(2); !slices.Contains(got, id) {
					t.Fatalf("honest request %d waits behind %v", i, got)
				}
			}
		})
	}
}

func TestDearRequestIsServedAmongAFloodOfCheapOnes(t *testing.T) {
	r := newRig(nil)
	for i := range 500 {
		r.push(fmt.Sprint("flood", i), i%50+1, cheap)
	}
	r.serve(10)
	r.push("dear", 999, dear)
	if got := r.serve(dearCost/cheapCost + 2); !slices.Contains(got, "dear") {
		t.Errorf("it waits behind %d cheap ones", len(got))
	}
}

func TestClassesShareTheTimeAndNotTheNumber(t *testing.T) {
	r := newRig(nil)
	for i := range 400 {
		r.push(fmt.Sprint("c", i), 1, cheap)
		r.push(fmt.Sprint("d", i), 2, dear)
	}
	spent := map[byte]int64{}
	for _, id := range r.serve(310) {
		class := cheap
		if id[0] == 'd' {
			class = dear
		}
		spent[id[0]] += costs[class]
	}
	if d := spent['c'] - spent['d']; d < -dearCost || d > dearCost {
		t.Errorf("time spent: %v", spent)
	}
}

func TestClassThatWasEmptyHasNotSavedTimeUp(t *testing.T) {
	r := newRig(nil)
	for i := range 200 {
		r.push(fmt.Sprint("d", i), 1, dear)
	}
	r.serve(100)
	for i := range 200 {
		r.push(fmt.Sprint("c", i), 2, cheap)
	}
	n := 0
	for _, id := range r.serve(3 * dearCost / cheapCost) {
		if id[0] == 'd' {
			n++
		}
	}
	if n == 0 {
		t.Error("the class that waited has had no turn")
	}
}

func TestPeersOfAClassTakeTurnsAndLinesOfAPeerToo(t *testing.T) {
	r := newRig(nil)
	for i := range 5 {
		r.pushLine(fmt.Sprint("a", i), 1, 1, cheap, true)
	}
	for i := range 3 {
		r.pushLine(fmt.Sprint("b", i), 1, 2, cheap, true)
	}
	for i := range 4 {
		r.pushLine(fmt.Sprint("x", i), 2, 1, cheap, true)
	}
	want := []string{"a0", "x0", "b0", "x1", "a1", "x2", "b1", "x3", "a2", "b2", "a3", "a4"}
	if got := r.serve(20); !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

func TestUrgentRequestsOfALineGoFirstAndAreDroppedLast(t *testing.T) {
	r := newRig(func(l *Limits) { l.Requests = 4 })
	for i, urgent := range []bool{false, true, false, true, false} {
		r.pushLine(fmt.Sprint(i), 1, 1, cheap, urgent)
	}
	if want := []dropped{{"4", Full}}; !slices.Equal(r.dropped, want) {
		t.Errorf("dropped %v, want %v", r.dropped, want)
	}
	if got, want := r.serve(9), []string{"1", "3", "0", "2"}; !slices.Equal(got, want) {
		t.Errorf("served %v, want %v", got, want)
	}
}

func TestWhoHoldsMostLosesItsNewestRequest(t *testing.T) {
	r := newRig(func(l *Limits) { l.Requests = 40 })
	r.push("honest", 1, dear)
	for i := range 200 {
		r.push(fmt.Sprint("many", i), 2, cheap)
	}
	r.pushLine("late honest", 3, 1, dear, false)
	if r.Len() != 40 || len(r.dropped) != 162 {
		t.Fatalf("%d wait, %d are dropped", r.Len(), len(r.dropped))
	}
	for i, d := range r.dropped[:161] {
		if d.value != fmt.Sprint("many", 39+i) || d.why != Full {
			t.Fatalf("drop %d is %v", i, d)
		}
	}
	if last := r.dropped[161]; last != (dropped{"many38", Full}) {
		t.Errorf("for the last request %v goes", last)
	}
}

func TestWorkOfAPeerIsBounded(t *testing.T) {
	for bound, kept := range map[int64]int{3 * dearCost: 3, 1: 1} {
		r := newRig(func(l *Limits) { l.PeerCost = bound })
		r.push("other", 1, cheap)
		for i := range 50 {
			r.push(fmt.Sprint(i), 2, dear)
		}
		if r.Len() != kept+1 || len(r.dropped) != 50-kept {
			t.Errorf("bound %d: %d wait, %d are dropped", bound, r.Len(), len(r.dropped))
		}
		for _, d := range r.dropped {
			if d.why != PeerShare {
				t.Fatalf("dropped %v", d)
			}
		}
	}
}

func TestPeerAloneMayHaveAllOfTheMemory(t *testing.T) {
	for name, c := range map[string]func(*Limits){
		"requests": func(l *Limits) { l.Requests = 40 },
		"bytes":    func(l *Limits) { l.Bytes = 4000 },
	} {
		r := newRig(c)
		for i := range 50 {
			r.push(fmt.Sprint(i), 2, cheap)
		}
		if r.Len() != 40 || len(r.dropped) != 10 || r.dropped[0] != (dropped{"40", Full}) {
			t.Errorf("%s: %d wait, dropped %v", name, r.Len(), r.dropped)
		}
	}
}

func TestLineThatHoldsMostPaysForItsPeer(t *testing.T) {
	r := newRig(func(l *Limits) { l.Requests = 10 })
	r.pushLine("quiet", 1, 1, cheap, false)
	for i := range 20 {
		r.pushLine(fmt.Sprint("loud", i), 1, 2, cheap, true)
	}
	r.pushLine("another", 1, 3, cheap, false)
	got := r.serve(99)
	if !slices.Contains(got, "quiet") || !slices.Contains(got, "another") || len(got) != 10 {
		t.Errorf("left are %v", got)
	}
}

func TestRequestThatIsTooOldIsNotServed(t *testing.T) {
	r := newRig(nil)
	r.push("old", 1, dear)
	r.now = patience
	r.push("young", 1, dear)
	r.now++
	if got := r.next(t); got != "young" {
		t.Errorf("%s is served", got)
	}
	if want := []dropped{{"old", Late}}; !slices.Equal(r.dropped, want) {
		t.Errorf("dropped %v", r.dropped)
	}
	if _, ok := r.Next(r.now); ok || r.Len() != 0 || r.Peers() != 0 {
		t.Errorf("%d requests of %d peers are left", r.Len(), r.Peers())
	}
}

func TestRequestThatIsAskedAgainKeepsItsPlaceAndGrowsYoung(t *testing.T) {
	r := newRig(nil)
	r.push("a", 1, dear)
	r.push("b", 1, dear)
	r.now = patience
	r.Push(Request[string, string]{ID: "a", Peer: peerOf(1), Line: lineOf(0), Class: dear, Urgent: true, Cost: dearCost, Bytes: 100, Value: "a again"}, r.now)
	r.now++
	if got := r.next(t); got != "a again" {
		t.Errorf("%s is served", got)
	}
	if want := []dropped{{"a", Replaced}, {"b", Late}}; !slices.Equal(r.dropped, want) {
		t.Errorf("dropped %v", r.dropped)
	}
	// One that is of another peer or class by now gives its place up.
	r.push("c", 1, dear)
	r.push("c", 2, cheap)
	if r.Len() != 1 || r.Peers() != 1 {
		t.Errorf("%d requests of %d peers", r.Len(), r.Peers())
	}
}

func TestClassThatDoesNotExistCountsAsTheDearest(t *testing.T) {
	r := newRig(nil)
	for i, class := range []int{-1, 2, 99} {
		r.Push(Request[string, string]{ID: fmt.Sprint(i), Class: class, Value: fmt.Sprint(i)}, 0)
	}
	if got := r.serve(9); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("served %v", got)
	}
}

func TestClearDropsAll(t *testing.T) {
	r := newRig(nil)
	for i := range 30 {
		r.push(fmt.Sprint(i), i%7, i%2)
	}
	r.Clear()
	if r.Len() != 0 || r.Peers() != 0 || len(r.dropped) != 30 || len(r.byShare) != 0 {
		t.Errorf("%d requests, %d peers left, %d dropped", r.Len(), r.Peers(), len(r.dropped))
	}
}

// check compares what the queue says of itself with what is in it.
func (r *rig) check(t *testing.T) {
	t.Helper()
	items, bytes := 0, 0
	for key, p := range r.peers {
		n, size, cost := 0, 0, int64(0)
		for _, l := range p.lines {
			for i := range l.queues {
				for e := l.queues[i].Front(); e != nil; e = e.Next() {
					it := e.Value.(*item[string, string])
					n, size, cost = n+1, size+it.Bytes, cost+it.Cost
				}
			}
		}
		if n == 0 || n != p.items || size != p.bytes || cost != p.cost || r.byShare[p.at] != shareholder(p) {
			t.Fatalf("peer %v: %d items of %d bytes for %d, counted %d of %d for %d", key, n, size, cost, p.items, p.bytes, p.cost)
		}
		if n > 1 && cost > r.limits.PeerCost {
			t.Fatalf("peer %v holds %d items for %d", key, n, cost)
		}
		items, bytes = items+n, bytes+size
	}
	if items != len(r.items) || items != r.ages.Len() || bytes != r.bytes || items > r.limits.Requests || bytes > r.limits.Bytes {
		t.Fatalf("%d items of %d bytes, counted %d, %d of %d", items, bytes, len(r.items), r.ages.Len(), r.bytes)
	}
	for i := range r.byShare {
		if i > 0 && r.byShare.Less(i, (i-1)/2) {
			t.Fatalf("heap is out of order at %d", i)
		}
	}
}

func TestEachRequestIsHandedOutOrDroppedOnceInAnyOrderOfEvents(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRig(func(l *Limits) { l.Requests, l.Bytes, l.PeerCost, l.Patience = 60, 9000, 20*dearCost, 50_000 })
		pushed, served := 0, 0
		for range 2000 {
			r.now += rnd.Int64N(500)
			if rnd.IntN(3) == 0 {
				if _, ok := r.Next(r.now); ok {
					served++
				}
			} else {
				pushed++
				class := rnd.IntN(2)
				r.Push(Request[string, string]{
					ID: fmt.Sprint(rnd.IntN(300)), Peer: peerOf(rnd.IntN(9)), Line: lineOf(rnd.IntN(5)), Class: class, Urgent: rnd.IntN(2) == 0,
					Cost: costs[class], Bytes: rnd.IntN(400), Value: fmt.Sprint(pushed),
				}, r.now)
			}
			r.check(t)
		}
		if pushed != served+len(r.dropped)+r.Len() {
			t.Fatalf("seed %d: %d pushed, %d served, %d dropped, %d left", seed, pushed, served, len(r.dropped), r.Len())
		}
	}
}

func BenchmarkFullQueue(b *testing.B) {
	q := New[int](Limits{Classes: 4, Requests: 8192, Bytes: 1 << 30, PeerCost: 1 << 40, Patience: 1 << 60}, func(int, Reason) {})
	b.ReportAllocs()
	for i := range b.N {
		q.Push(Request[int, int]{ID: i, Peer: peerOf(i % 5000), Line: lineOf(i), Class: i % 4, Cost: 100, Bytes: 300, Value: i}, int64(i))
		if i%4 == 0 {
			q.Next(int64(i))
		}
	}
}

func FuzzQueue(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 255, 254, 253, 1, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		r := newRig(func(l *Limits) { l.Requests, l.Bytes, l.PeerCost, l.Patience = 20, 3000, 10*dearCost, 200 })
		pushed, served := 0, 0
		for script = script[:min(len(script), 1500)]; len(script) >= 3; script = script[3:] {
			op, a, b := script[0], int(script[1]), int(script[2])
			r.now += int64(op >> 4)
			switch op & 7 {
			case 0, 1:
				if _, ok := r.Next(r.now); ok {
					served++
				}
			case 2:
				r.Expire(r.now)
			default:
				pushed++
				r.Push(Request[string, string]{
					ID: fmt.Sprint(a % 32), Peer: peerOf(a % 5), Line: lineOf(b % 3), Class: b%4 - 1, Urgent: b&64 != 0, Cost: int64(b * 40), Bytes: a, Value: "v",
				}, r.now)
			}
			r.check(t)
		}
		if pushed != served+len(r.dropped)+r.Len() {
			t.Fatalf("%d pushed, %d served, %d dropped, %d left", pushed, served, len(r.dropped), r.Len())
		}
	})
}
