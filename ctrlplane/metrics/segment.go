package metrics

import (
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// segmentCollector collects what lies in the segment. It is unchecked, for the table of counters is the data plane's.
type segmentCollector struct{ segments Segments }

// Describe describes nothing: see segmentCollector.
func (segmentCollector) Describe(chan<- *prometheus.Desc) {}

// Collect reads the segment. What says whether the gateway lives is there without a segment too.
func (c segmentCollector) Collect(ch chan<- prometheus.Metric) {
	served := false
	c.segments.View(func(s *shm.Segment) {
		served = true
		collectProcesses(ch, s)
		collectControl(ch, s)
		collectRules(ch, s)
		for i := range s.Workers() {
			collectWorker(ch, s, i)
		}
	})
	if !served {
		ch <- gauge(descUp, 0, dataPlane)
		ch <- gauge(descUp, 1, controlPlane) // which this is
		ch <- gauge(descReady, 0)
	}
}

// workerLabels are the labels of everything that a worker counts.
var workerLabels = []string{"worker", "core"}

func workerDesc(name, help string, more ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, append(append([]string(nil), workerLabels...), more...), nil)
}

var (
	descFlows      = workerDesc("flows", "connections in the flow table by state", "state")
	descHandshakes = workerDesc("handshake_seconds", "time from the first SYN of a connection to its keys")
	descCapacity   = workerDesc("flow_table_capacity", "connections the flow table can hold")
	descRingUsed   = workerDesc("ring_used_bytes", "bytes that wait in a ring between the processes", "ring")
	descRingFull   = workerDesc("ring_full_total", "times a ring between the processes had no room", "ring")
	descRingReset  = workerDesc("ring_damaged_total", "times the damaged content of a ring was thrown away", "ring")
	descEngine     = prometheus.NewDesc(namespace+"_engine_info", "the AEAD engine of the data plane", []string{"engine"}, nil)
	descPorts      = prometheus.NewDesc(namespace+"_port_info", "the ports of the instance", []string{"instance_name", "inside", "outside"}, nil)
	descUp         = prometheus.NewDesc(namespace+"_process_up", "1 while the process gives signs of life", []string{"process"}, nil)
	descEpoch      = prometheus.NewDesc(namespace+"_process_starts", "processes that had this part since the segment was made", []string{"process"}, nil)
	descReady      = prometheus.NewDesc(namespace+"_ready", "1 while packets flow", nil, nil)
	descCreated    = prometheus.NewDesc(namespace+"_segment_created_seconds", "unix time at which the shared segment was made", nil, nil)
	descLocked     = prometheus.NewDesc(namespace+"_segment_locked", "1 if the control plane has locked the shared segment into memory", nil, nil)
)

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func counter(d *prometheus.Desc, v uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Values of the label process.
const (
	dataPlane    = "dataplane"
	controlPlane = "ctrlplane"
)

// collectProcesses says which processes live. The data plane's word counts only while its process is there: what it said last outlives it.
func collectProcesses(ch chan<- prometheus.Metric, s *shm.Segment) {
	data, control := s.DataPlane(), s.ControlPlane()
	up := s.DataPlaneAnswers()
	ch <- gauge(descUp, truth(up), dataPlane)
	ch <- gauge(descEpoch, float64(data.Epoch), dataPlane)
	ch <- gauge(descUp, truth(control.Answers()), controlPlane)
	ch <- gauge(descEpoch, float64(control.Epoch), controlPlane)
	ch <- gauge(descReady, truth(up && s.Ready()))
	ch <- gauge(descEngine, 1, s.Engine())
	ch <- gauge(descPorts, 1, s.Name(), s.Inside(), s.Outside())
	ch <- gauge(descCreated, float64(s.Created().UnixNano())/1e9)
	ch <- gauge(descLocked, truth(s.Locked()))
}

func collectWorker(ch chan<- prometheus.Metric, s *shm.Segment, i int) {
	w := s.Worker(i)
	if w == nil {
		return
	}
	labels := []string{strconv.Itoa(i), strconv.Itoa(s.Core(i))}
	s.Counters().Range(func(c shm.Counter, info shm.Info) bool {
		if c.Control() || info.Kind == shm.KindBucket {
			return true
		}
		name, label := metricName(c, info)
		values := labels
		var more []string
		if label != [2]string{} {
			more, values = label[:1], append(labels[:2:2], label[1])
		}
		ch <- counter(workerDesc(name, help(c, info), more...), atomic.LoadUint64(&w.Counters[c]), values...)
		return true
	})
	ch <- handshakes(w.Counters, labels)
	for name, r := range map[string]shm.Ring{"requests": w.Requests, "replies": w.Replies} {
		ch <- gauge(descRingUsed, float64(r.Used()), labels[0], labels[1], name)
		ch <- counter(descRingFull, r.Full(), labels[0], labels[1], name)
		ch <- counter(descRingReset, r.Resets(), labels[0], labels[1], name)
	}
	flows, err := w.Flows()
	if err != nil {
		return // the data plane has not made it yet
	}
	ch <- gauge(descCapacity, float64(flows.Capacity()), labels...)
	for st := flowtable.Free + 1; st < flowtable.NumStates; st++ {
		ch <- gauge(descFlows, float64(flows.Count(st)), labels[0], labels[1], st.String())
	}
}

// handshakes is the histogram of how long handshakes took.
func handshakes(n *shm.Block, labels []string) prometheus.Metric {
	buckets, count := map[float64]uint64{}, uint64(0)
	for i, bound := range shm.HandshakeBounds {
		count += atomic.LoadUint64(&n[shm.HandshakeIn500us+shm.Counter(i)])
		buckets[float64(bound)/1e9] = count
	}
	count += atomic.LoadUint64(&n[shm.HandshakeInMore])
	return prometheus.MustNewConstHistogram(descHandshakes, count, float64(atomic.LoadUint64(&n[shm.HandshakeNanos]))/1e9, buckets, labels...)
}

// collectControl collects what the control plane counts in the segment.
func collectControl(ch chan<- prometheus.Metric, s *shm.Segment) {
	counts := s.ControlCounters()
	s.Counters().Range(func(c shm.Counter, info shm.Info) bool {
		if !c.Control() {
			return true
		}
		name, label := metricName(c, info)
		var names, values []string
		if label != [2]string{} {
			names, values = label[:1], label[1:]
		}
		ch <- counter(prometheus.NewDesc(control+name, help(c, info), names, nil), atomic.LoadUint64(&counts[c]), values...)
		return true
	})
}

// families are the kinds whose counters are one metric, with the reason as a label in place of the prefix of their names.
var families = map[shm.Kind]struct{ metric, prefix, help string }{
	shm.KindDrop:     {"drops_total", "drop_", "packets dropped by reason"},
	shm.KindAbort:    {"aborts_total", "abort_", "connections aborted by reason"},
	shm.KindPlain:    {"plain_total", "plain_", "connections left in the clear by reason"},
	shm.KindRefusal:  {"refusals_total", "refused_", "connections refused by reason"},
	shm.KindResume:   {"resumption_total", "resume_", "connections by what came of an earlier session that they might have resumed"},
	shm.KindOverload: {"overloads_total", "overload_", "requests and state given up by the bound that was reached"},
}

// metricName returns the name of a counter's metric without namespace, and the label in place of what the counter's own name
// says, where counters are of one family: reasons, and stages.
func metricName(c shm.Counter, info shm.Info) (name string, label [2]string) {
	if st, ok := c.Stage(); ok {
		if c == st.Cycles() {
			return "stage_cycles_total", [2]string{"stage", st.String()}
		}
		return "stage_packets_total", [2]string{"stage", st.String()}
	}
	if f, ok := families[info.Kind]; ok {
		return f.metric, [2]string{"reason", strings.TrimPrefix(info.Name, f.prefix)}
	}
	return info.Name + "_total", [2]string{}
}

// help is one text for a family, as the format wants it.
func help(c shm.Counter, info shm.Info) string {
	if c < shm.RxInsidePackets {
		return info.Unit + " by stage of the packet path"
	}
	if f, ok := families[info.Kind]; ok {
		return f.help
	}
	return info.Help
}
