package metrics

import (
	"crypto/rand"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

type fixed struct{ s *shm.Segment }

func (f fixed) View(do func(*shm.Segment)) {
	if f.s != nil {
		do(f.s)
	}
}

// newSegment makes a segment of two workers.
func newSegment(t *testing.T) *shm.Segment {
	t.Helper()
	return newSegmentIn(t, t.TempDir())
}

func newSegmentIn(t *testing.T, dir string) *shm.Segment {
	t.Helper()
	s, err := shm.Create(dir, shm.Params{
		Name: "m", Inside: "in0", Outside: "out\"0", Engine: "generic", Cores: []int{5, -1},
		Flows: flowtable.Layout{Capacity: 64, Chunks: 64}, RequestRing: 128 << 10, ReplyRing: 128 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func scrape(t *testing.T, s *Set) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value returns a metric's value; it fails the test if there is not exactly one with these labels.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels map[string]string) float64 {
	t.Helper()
	var found []*dto.Metric
	for _, m := range families[name].GetMetric() {
		has := 0
		for _, l := range m.GetLabel() {
			if v, ok := labels[l.GetName()]; ok && v == l.GetValue() {
				has++
			}
		}
		if has == len(labels) {
			found = append(found, m)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%s%v: %d metrics", name, labels, len(found))
	}
	return found[0].GetCounter().GetValue() + found[0].GetGauge().GetValue() + float64(found[0].GetHistogram().GetSampleCount())
}

func newSet(t *testing.T, s *shm.Segment) (*Set, *responder.Responder) {
	t.Helper()
	r, err := responder.New(responder.TermsOf(config.Default()), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Segments: fixed{s}, Stats: r.Stats(), Events: []Event{
		{"things", "things that happened", func() uint64 { return 42 }, false}, {"heap", "things that lie about", func() uint64 { return 5 }, true},
	}}), r
}

type labels = map[string]string

func TestCountersAreServedByCoreUnderTheNamesOfTheTable(t *testing.T) {
	seg := newSegment(t)
	seg.Worker(0).Counters[shm.RxInsidePackets] = 7
	seg.Worker(1).Counters[shm.RxInsidePackets] = 9
	seg.Worker(0).Counters[shm.DropParse] = 3
	seg.Worker(0).Counters[shm.DropEgressWindow] = 4
	seg.Worker(1).Counters[shm.AbortAuth] = 5
	seg.Worker(1).Counters[shm.SealedFrames] = 6
	seg.Worker(0).Counters[shm.StageCrypto.Cycles()] = 1000
	seg.ControlCounters()[shm.OverloadKeysLate] = 8
	seg.ControlCounters()[shm.KeysAskedAgain] = 9
	set, _ := newSet(t, seg)
	f := scrape(t, set)
	for _, c := range []struct {
		name   string
		labels labels
		want   float64
	}{
		{"linecrypt_rx_inside_packets_total", labels{"worker": "0", "core": "5"}, 7},
		{"linecrypt_rx_inside_packets_total", labels{"worker": "1", "core": "-1"}, 9},
		{"linecrypt_drops_total", labels{"worker": "0", "reason": "parse"}, 3},
		{"linecrypt_drops_total", labels{"worker": "0", "reason": "egress_window"}, 4},
		{"linecrypt_aborts_total", labels{"worker": "1", "reason": "auth"}, 5},
		{"linecrypt_sealed_frames_total", labels{"worker": "1"}, 6},
		{"linecrypt_stage_cycles_total", labels{"worker": "0", "stage": "crypto"}, 1000},
		{"linecrypt_engine_info", labels{"engine": "generic"}, 1},
		{"linecrypt_port_info", labels{"inside": "in0", "outside": "out\"0"}, 1},
		{"linecrypt_ctrlplane_things_total", nil, 42},
		{"linecrypt_ctrlplane_heap", nil, 5},
		{"linecrypt_ctrlplane_overloads_total", labels{"reason": "keys_late"}, 8},
		{"linecrypt_ctrlplane_keys_asked_again_total", nil, 9},
	} {
		if got := value(t, f, c.name, c.labels); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	n := 0
	seg.Counters().Range(func(c shm.Counter, info shm.Info) bool {
		if !c.Control() && info.Kind != shm.KindBucket {
			n++
		}
		return true
	})
	served := 0
	for name, fam := range f {
		if d := fam.GetMetric()[0].GetLabel(); len(d) > 0 && name != "linecrypt_ring_full_total" && name != "linecrypt_ring_damaged_total" && fam.GetType() == dto.MetricType_COUNTER {
			for _, m := range fam.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == "core" {
						served++
					}
				}
			}
		}
	}
	if served != 2*n {
		t.Errorf("%d counters of 2 workers are served, the table has %d", served, n)
	}
}

func TestHandshakeTimesAreAHistogram(t *testing.T) {
	seg := newSegment(t)
	n := seg.Worker(0).Counters
	for _, took := range []int64{1, 500_000, 500_001, 3e9, 11e9} {
		n[shm.HandshakeBucket(took)]++
		n[shm.HandshakeNanos] += uint64(took)
	}
	s, _ := newSet(t, seg)
	for _, m := range scrape(t, s)["linecrypt_handshake_seconds"].GetMetric() {
		if m.GetLabel()[1].GetValue() != "0" {
			continue
		}
		h := m.GetHistogram()
		if h.GetSampleCount() != 5 || h.GetSampleSum() < 14.001 || h.GetSampleSum() > 14.002 {
			t.Errorf("%d samples, sum %v", h.GetSampleCount(), h.GetSampleSum())
		}
		for _, b := range h.GetBucket() {
			if want := map[float64]uint64{0.0005: 2, 0.001: 3, 2: 3, 5: 4, 10: 4}; want[b.GetUpperBound()] != 0 && b.GetCumulativeCount() != want[b.GetUpperBound()] {
				t.Errorf("up to %v s: %d", b.GetUpperBound(), b.GetCumulativeCount())
			}
		}
	}
}

func TestFlowsAreServedByState(t *testing.T) {
	seg := newSegment(t)
	w := seg.Worker(1)
	table, err := flowtable.New(w.FlowMemory, w.Layout, [2]uint64{1, 2}, 1)
	if err != nil {
		t.Fatal(err)
	}
	for port := range uint16(3) {
		k := flowtable.Key{InsidePort: port}
		i, _ := table.Insert(&k, table.Hash(&k), 1)
		if port > 0 {
			table.SetState(i, flowtable.Encrypted)
		}
	}
	set, _ := newSet(t, seg)
	f := scrape(t, set)
	if n := value(t, f, "linecrypt_flows", labels{"state": "encrypted", "worker": "1"}); n != 2 {
		t.Errorf("%v encrypted flows", n)
	}
	if n := value(t, f, "linecrypt_flow_table_capacity", nil); n != 64 {
		t.Errorf("capacity %v", n)
	}
}

func TestControlPlaneServesItsDecisions(t *testing.T) {
	set, r := newSet(t, newSegment(t))
	var reply shm.Reply
	r.Handle(&shm.Request{Kind: shm.ActiveAnswer, ENOA: []byte{69, 3, 0x23}, ENOB: []byte{69, 3, 1}}, &reply)
	set.ObserveRequest(shm.ActiveAnswer, time.Millisecond)
	f := scrape(t, set)
	if n := value(t, f, "linecrypt_ctrlplane_handshakes_without_keys_total", labels{"result": "pass", "reason": "eno-vacuous"}); n != 1 {
		t.Errorf("%v fallbacks", n)
	}
	if n := value(t, f, "linecrypt_ctrlplane_requests_total", labels{"kind": "active_answer"}); n != 1 {
		t.Errorf("%v requests", n)
	}
	if n := value(t, f, "linecrypt_ctrlplane_request_seconds", labels{"kind": "active_answer"}); n != 1 {
		t.Errorf("%v durations", n)
	}
	if n := len(f["linecrypt_ctrlplane_sessions_total"].GetMetric()); n != 2*4*3 {
		t.Errorf("%d kinds of sessions", n)
	}
	value(t, f, "linecrypt_build_info", nil)
}

func TestWithoutADataPlaneTheControlPlanesMetricsAreServed(t *testing.T) {
	set, _ := newSet(t, nil)
	f := scrape(t, set)
	if f["linecrypt_flows"] != nil || f["linecrypt_ctrlplane_things_total"] == nil {
		t.Error("wrong metrics without a segment")
	}
	for process, up := range map[string]float64{"dataplane": 0, "ctrlplane": 1} {
		if n := value(t, f, "linecrypt_process_up", labels{"process": process}); n != up {
			t.Errorf("process_up of the %s is %v", process, n)
		}
	}
	if n := value(t, f, "linecrypt_ready", nil); n != 0 {
		t.Errorf("ready is %v without a data plane", n)
	}
}

func TestDeadDataPlaneIsNeitherUpNorReadyFromThenOn(t *testing.T) {
	dir := t.TempDir()
	seg := newSegmentIn(t, dir)
	control, err := shm.OpenControl(dir, "m")
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	seg.SetReady(true)
	seg.Beat(ts.Nano())
	control.Beat(ts.Nano())
	set, _ := newSet(t, control)
	check := func(when string, up float64) {
		t.Helper()
		f := scrape(t, set)
		if n := value(t, f, "linecrypt_process_up", labels{"process": "dataplane"}); n != up {
			t.Errorf("%s: process_up is %v", when, n)
		}
		if n := value(t, f, "linecrypt_ready", nil); n != up {
			t.Errorf("%s: ready is %v", when, n)
		}
		if n := value(t, f, "linecrypt_process_up", labels{"process": "ctrlplane"}); n != 1 {
			t.Errorf("%s: the control plane is not up", when)
		}
	}
	check("while it runs", 1)
	seg.Close() // as if it were killed: its last word stays, its heartbeat is fresh
	check("after its end", 0)
}

func TestAddressOfAnotherProgramIsReportedAsTaken(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Listen(l.Addr().String()); !errors.Is(err, ErrTaken) {
		t.Error(err)
	}
	if _, err := Listen("999.0.0.1:x"); err == nil || errors.Is(err, ErrTaken) {
		t.Error(err)
	}
}
