package ends

import (
	"testing"

	"linecrypt/bench/pktgen/scenario"
)

func TestEveryConnectionHasItsNumberInItsAddresses(t *testing.T) {
	for _, n := range []uint32{0, 1, 4095, 4096, 100_000, 1_000_000, 1<<22 - 1} {
		if got, ok := numberOf(hostAddr(n), hostPort(n)); !ok || got != n {
			t.Errorf("%d became %d, %v", n, got, ok)
		}
	}
	if _, ok := numberOf(hostNet, firstPort); ok {
		t.Error("the network's own address is a host's")
	}
	if _, ok := numberOf(hostAddr(0), firstPort-1); ok {
		t.Error("a port below the first is a host's")
	}
	if farPort(0) == farPort(1) || farPort(lives) != farPort(0) {
		t.Error("lives do not go round")
	}
}

func TestSegmentsFollowOneAnotherWithoutAGap(t *testing.T) {
	for _, sizes := range [][]scenario.Size{{{Bytes: 64, Weight: 1}}, {{Bytes: 64, Weight: 7}, {Bytes: 512, Weight: 4}, {Bytes: 1380, Weight: 1}}} {
		for _, overhead := range []int{0, 20} {
			m := newMix(sizes, overhead)
			for n := range uint32(100) {
				phase := m.phase(n)
				if phase >= m.round || m.pos(0, phase) != 0 {
					t.Fatalf("phase %d of %d", phase, m.round)
				}
				for k := range uint64(50) {
					if end := m.pos(k, phase) + uint64(m.size(k, phase)+overhead); end != m.pos(k+1, phase) {
						t.Fatalf("segment %d ends at %d, the next begins at %d", k, end, m.pos(k+1, phase))
					}
					if got, begins := m.index(m.pos(k, phase), phase); got != k || !begins {
						t.Fatalf("segment %d is taken for %d, %v", k, got, begins)
					}
					if got, begins := m.index(m.pos(k+1, phase)-1, phase); got != k || begins {
						t.Fatalf("the last byte of segment %d is taken for one of %d, %v", k, got, begins)
					}
				}
			}
		}
	}
}

func TestAMixHasItsWeights(t *testing.T) {
	m := newMix([]scenario.Size{{Bytes: 64, Weight: 7}, {Bytes: 512, Weight: 4}, {Bytes: 1380, Weight: 1}}, 0)
	had := map[int]int{}
	for k := range m.round {
		had[m.size(k, 0)]++
	}
	if had[64] != 7 || had[512] != 4 || had[1380] != 1 {
		t.Errorf("%v", had)
	}
}

func TestQuantilesAreWithinABucket(t *testing.T) {
	var h Histogram
	for v := range int64(100_000) {
		h.Add(v)
	}
	for _, tt := range []struct {
		q    float64
		want float64
	}{{0.5, 50_000}, {0.99, 99_000}, {0.999, 99_900}, {1, 99_999}} {
		if got := float64(h.Quantile(tt.q)); got < tt.want*0.999 || got > tt.want*1.04 {
			t.Errorf("quantile %g is %g, not %g", tt.q, got, tt.want)
		}
	}
	h.Reset()
	if h.Quantile(0.5) != 0 || h.Count() != 0 {
		t.Error("something is left")
	}
	for v := uint64(1); v < 1<<63; v <<= 1 {
		if i := bucketOf(v); lowest(i) != int64(v) || i >= buckets {
			t.Errorf("%d is in bucket %d from %d on", v, i, lowest(i))
		}
	}
}

func TestAQueueKeepsItsOrder(t *testing.T) {
	var q queue
	q.init(3)
	for round := range uint32(5) {
		q.push(round)
		q.push(round + 100)
		if a, b := q.pop(), q.pop(); a != round || b != round+100 || q.size != 0 {
			t.Fatalf("%d, %d, %d left", a, b, q.size)
		}
	}
}

func TestNumbersAreUnwrappedNextToWhatIsKnown(t *testing.T) {
	const isn = 0xffff_fff0
	for _, pos := range []uint64{0, 10, 100, 1 << 32, 1<<40 + 5} {
		seq := uint32(isn + 1 + pos)
		for _, near := range []uint64{pos, pos + 1000, max(pos, 1000) - 1000} {
			if got := unwrap(seq, isn, near); got != pos {
				t.Errorf("position %d next to %d became %d", pos, near, got)
			}
		}
	}
}

func TestWhatIsMissingIsWhatWasOfferedAndHasNotCome(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Counts
		want uint64
	}{
		{"all came", Counts{Offered: [2]uint64{10, 5}, Received: [2]uint64{5, 10}}, 0},
		{"an acknowledgement is lost", Counts{Offered: [2]uint64{10, 5}, Received: [2]uint64{4, 10}}, 1},
		{"data was sent again, which the gateway's own packets hide", Counts{Offered: [2]uint64{13, 5}, Received: [2]uint64{8, 10}, Resent: 3}, 3},
		{"what was damaged is dropped, and sent again", Counts{Offered: [2]uint64{10, 6}, Received: [2]uint64{5, 10}, Damaged: 1, Resent: 1}, 0},
		{"forged SYNs", Counts{Offered: [2]uint64{10, 9}, Received: [2]uint64{7, 10}, Forged: 4, ForgedOut: 2}, 0},
	} {
		if got := tt.c.Missing(); got != tt.want {
			t.Errorf("%s: %d are missing, not %d", tt.name, got, tt.want)
		}
	}
}
