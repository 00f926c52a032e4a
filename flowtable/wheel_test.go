package flowtable

import (
	"math/rand/v2"
	"testing"
)

const tick = int64(1) << tickShift

func TestTimersFireOnceAfterTheirDeadlineAndWithinATick(t *testing.T) {
	for _, start := range []int64{0, 255 * tick, 256*tick - 1, 65536*tick - 3*tick, 1<<24*tick - 5*tick, 1 << 55} {
		const n = 500
		l := Layout{Capacity: n}
		table, err := New(memory(l), l, testSeed, start)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(start)))
		due := map[Index]int64{}
		for i := range n {
			idx := add(t, table, i)
			d := start + 1 + rng.Int64N(1<<(1+rng.IntN(38)))
			table.Arm(idx, d)
			due[idx] = d
		}
		out := make([]Index, 7)
		now := start
		for len(due) > 0 && now < start+1<<40 {
			for {
				k := table.Expire(now, out)
				for _, i := range out[:k] {
					d, ok := due[i]
					if !ok || d > now {
						t.Fatalf("start %d: timer of %d fired at %d", start, d, now)
					}
					delete(due, i)
				}
				if table.hdr.wheel.tick > uint64(now)>>tickShift {
					break
				}
			}
			for i, d := range due {
				if now-d >= 2*tick {
					t.Fatalf("start %d: timer %d for %d has not fired at %d", start, i, d, now)
				}
			}
			now += tick + rng.Int64N(1<<(20+rng.IntN(12)))
		}
		if len(due) != 0 {
			t.Fatalf("start %d: %d timers never fired", start, len(due))
		}
	}
}

func TestRearmedTimerFiresAtItsLastDeadlineOnly(t *testing.T) {
	table := newTable(t, 1)
	i := add(t, table, 1)
	rng := rand.New(rand.NewPCG(3, 4))
	out := make([]Index, 4)
	now := int64(0)
	for round := range 2000 {
		var deadline int64
		for range 1 + rng.IntN(5) {
			deadline = now + 1 + rng.Int64N(1<<(10+rng.IntN(22)))
			table.Arm(i, deadline)
		}
		for fired := false; !fired; now += 1 + rng.Int64N(1<<28) {
			k := table.Expire(now, out)
			if k == 0 && now > deadline+10*tick+expireWork*tick {
				for range 200 {
					k += table.Expire(now, out)
				}
				if k == 0 {
					t.Fatalf("round %d: deadline %d, nothing at %d", round, deadline, now)
				}
			}
			if k > 0 && now < deadline {
				t.Fatalf("round %d: deadline %d fired at %d", round, deadline, now)
			}
			fired = k > 0
		}
	}
}

func TestDisarmedTimerNeverFires(t *testing.T) {
	table := newTable(t, 100)
	for n := range 100 {
		table.Arm(add(t, table, n), int64(n+1)*1e6)
	}
	for n := 0; n < 100; n += 2 {
		table.Disarm(find(table, n))
		table.Disarm(find(table, n))
	}
	table.Disarm(0)
	table.Arm(0, 5)
	out := make([]Index, 200)
	for now := int64(0); now < 200e6; now += 1e6 {
		for _, i := range out[:table.Expire(now, out)] {
			if table.Record(i).Key.InsidePort%2 == 0 {
				t.Fatalf("disarmed timer of %d fired", table.Record(i).Key.InsidePort)
			}
		}
	}
	if table.hdr.wheel.armed != 0 {
		t.Errorf("%d timers left", table.hdr.wheel.armed)
	}
}

func TestExpireHandsOutNoMoreThanThereIsRoomForAndLosesNone(t *testing.T) {
	const n = 3000
	table := newTable(t, n)
	for i := range n {
		table.Arm(add(t, table, i), 300*tick)
	}
	out := make([]Index, 8)
	total, calls := 0, 0
	for total < n && calls < 10*n {
		k := table.Expire(301*tick, out)
		total += k
		calls++
		for _, i := range out[:k] {
			if r := table.Record(i); r.Local.Timer != (Timer{}) {
				t.Fatalf("fired timer is %+v", r.Local.Timer)
			}
		}
	}
	if total != n || table.Expire(302*tick, out[:0]) != 0 {
		t.Errorf("%d of %d fired", total, n)
	}
}

func TestLongPauseIsCaughtUpInBoundedSteps(t *testing.T) {
	table := newTable(t, 2)
	table.Arm(add(t, table, 1), 1000*tick)
	table.Arm(add(t, table, 2), 1e15)
	out := make([]Index, 4)
	calls, fired := 0, 0
	for fired == 0 && calls < 100 {
		fired += table.Expire(100_000*tick, out)
		calls++
	}
	if fired != 1 || calls < 2 {
		t.Errorf("%d fired after %d calls", fired, calls)
	}
}

func BenchmarkRearm(b *testing.B) {
	table := newTable(b, 1000)
	for i := range 1000 {
		add(b, table, i)
	}
	b.ReportAllocs()
	n := int64(0)
	out := make([]Index, 32)
	for b.Loop() {
		n++
		table.Arm(Index(n%1000+1), n*100+200e6)
		if n%32 == 0 {
			table.Expire(n*100, out)
		}
	}
}
