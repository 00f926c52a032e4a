package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/trace"
	"linecrypt/flowtable"
)

// Bounds of POST /trace.
const (
	MaxTracePackets = 100_000
	tracePolling    = 20 * time.Millisecond
	traceLease      = 3 * time.Second        // a trace ends so long after its control plane's last word
	traceGrace      = 300 * time.Millisecond // for what the last packet leads to
)

// errTracing means that somebody else traces.
var errTracing = errors.New("another trace is running; there is one at a time")

// TraceLine is a line of what POST /trace answers: what one station of a worker did. Which fields are there depends on the station (package
// trace). A line without Station has Lost or Error alone.
type TraceLine struct {
	Time    time.Time `json:"time"`
	Worker  int       `json:"worker"`
	Packet  uint32    `json:"packet"` // number of the packet that led to it, by worker, from 1 on; 0: the gateway acted by itself
	Station string    `json:"station,omitempty"`
	Port    string    `json:"port,omitempty"` // inside or outside
	VLAN    uint32    `json:"vlan,omitempty"`
	Proto   uint8     `json:"proto,omitempty"`
	Src     string    `json:"src,omitempty"`
	Dst     string    `json:"dst,omitempty"`
	Flags   string    `json:"flags,omitempty"` // as tcpdump has them
	Seq     uint32    `json:"seq,omitempty"`
	Ack     uint32    `json:"ack,omitempty"`
	Window  uint16    `json:"window,omitempty"`
	Options []string  `json:"options,omitempty"`
	Length  uint32    `json:"length"` // bytes of payload
	Size    uint32    `json:"size,omitempty"`
	OK      *bool     `json:"ok,omitempty"`
	Flow    uint32    `json:"flow,omitempty"`
	State   string    `json:"state,omitempty"`
	Verdict string    `json:"verdict,omitempty"`
	Rule    string    `json:"rule,omitempty"`
	Counter string    `json:"counter,omitempty"`
	Help    string    `json:"help,omitempty"`
	Number  uint64    `json:"number,omitempty"`
	Lost    uint64    `json:"lost,omitempty"` // events that were overwritten before they were read
	Error   string    `json:"error,omitempty"`
}

// tracing is who traces.
type tracing struct{ busy atomic.Bool }

// serveTrace answers POST /trace?end=END[&end=END]&packets=N with lines of JSON, as packets come, until so many have come or the client goes.
func (s *Server) serveTrace(w http.ResponseWriter, r *http.Request) {
	f, err := s.traceFilter(r.FormValue("packets"), r.URL.Query()["end"])
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	case !s.tracing.busy.CompareAndSwap(false, true):
		http.Error(w, errTracing.Error(), http.StatusConflict)
		return
	}
	defer s.tracing.busy.Store(false)
	t := tracer{s: s, filter: f, json: json.NewEncoder(w), control: http.NewResponseController(w)}
	if !t.begin() {
		http.Error(w, ErrNoDataPlane.Error(), http.StatusServiceUnavailable)
		return
	}
	defer t.end()
	w.Header().Set("Content-Type", "application/jsonl")
	if t.flush() != nil {
		return
	}
	tick := time.NewTicker(tracePolling)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			if more, err := t.poll(); err != nil || !more {
				return
			}
		}
	}
}

// traceFilter reads what is to be traced.
func (s *Server) traceFilter(packets string, ends []string) (*trace.Filter, error) {
	n, err := strconv.Atoi(packets)
	if err != nil || n < 1 || n > MaxTracePackets {
		return nil, fmt.Errorf("%q packets are not 1 to %d", packets, MaxTracePackets)
	}
	f := &trace.Filter{Packets: uint32(n)}
	switch len(ends) {
	case 1:
		if f.A, err = traceEnd(ends[0]); err == nil {
			return f, nil
		}
		list, missing := s.withID(ends[0])
		if errors.Is(missing, ErrSelection) {
			return nil, err
		}
		if missing != nil {
			return nil, missing
		}
		k := &list[0].Tuple
		f.A = trace.End{Addr: k.Inside, Bits: 128, Port: k.InsidePort}
		f.B = trace.End{Addr: k.Outside, Bits: 128, Port: k.OutsidePort}
		return f, nil
	case 2:
		if f.A, err = traceEnd(ends[0]); err != nil {
			return nil, err
		}
		f.B, err = traceEnd(ends[1])
		return f, err
	}
	return nil, errors.New("one or two ends are wanted: address, prefix, address:port or :port, or the session ID of a connection")
}

// traceEnd reads an address, a prefix, address:port or :port.
func traceEnd(text string) (trace.End, error) {
	if port, ok := strings.CutPrefix(text, ":"); ok {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			return trace.End{Port: uint16(n)}, nil
		}
	}
	if a, err := netip.ParseAddrPort(text); err == nil {
		return trace.End{Addr: a.Addr().As16(), Bits: 128, Port: a.Port()}, nil
	}
	if p, err := connections.ParsePeer(text); err == nil {
		bits := p.Bits()
		if p.Addr().Is4() {
			bits += 96
		}
		return trace.End{Addr: p.Addr().As16(), Bits: uint8(bits)}, nil
	}
	return trace.End{}, fmt.Errorf("%q is no address, prefix, address:port, :port or session ID", text)
}

// tracer is a trace in progress.
type tracer struct {
	s       *Server
	filter  *trace.Filter
	json    *json.Encoder
	control *http.ResponseController
	nonce   [16]byte // of the segment
	readers []*trace.Reader
	rules   *policy.Set
	seen    int // packets that were received
	last    time.Time
	lines   []TraceLine
}

// begin has all workers trace, and reports whether there are any.
func (t *tracer) begin() (ok bool) {
	t.s.View(func(seg *shm.Segment) {
		if !seg.DataPlaneRuns() {
			return
		}
		t.nonce, ok = seg.Nonce(), true
		for i := range seg.Workers() {
			part := seg.Worker(i)
			t.readers = append(t.readers, trace.NewReader(part.Trace))
			part.Trace.Begin(t.filter, monotonic()+int64(traceLease))
		}
	})
	return ok
}

func (t *tracer) end() {
	t.view(func(seg *shm.Segment) {
		for i := range t.readers {
			seg.Worker(i).Trace.End()
		}
	})
}

// view calls f with the segment, if it still is the one that the trace began in.
func (t *tracer) view(f func(*shm.Segment)) (same bool) {
	t.s.View(func(seg *shm.Segment) {
		if same = seg.Nonce() == t.nonce && seg.DataPlaneRuns(); same {
			f(seg)
		}
	})
	return same
}

// poll writes what the workers told since the last time, and reports whether there may be more.
func (t *tracer) poll() (more bool, err error) {
	t.lines = t.lines[:0]
	wanted := t.seen < int(t.filter.Packets)
	same := t.view(func(seg *shm.Segment) {
		for i, d := range t.readers {
			if wanted {
				seg.Worker(i).Trace.Extend(monotonic() + int64(traceLease))
			}
			t.read(seg, i, d)
		}
	})
	if !same {
		t.lines = append(t.lines, TraceLine{Time: time.Now(), Error: "the data plane has ended"})
	}
	for i := range t.lines {
		if err := t.write(&t.lines[i]); err != nil {
			return false, err
		}
	}
	if len(t.lines) > 0 {
		if wanted { // what others lead to on a busy connection would have no end
			t.last = time.Now()
		}
		if err := t.flush(); err != nil {
			return false, err
		}
	}
	return same && (t.seen < int(t.filter.Packets) || time.Since(t.last) < traceGrace), nil
}

// read turns a worker's events into lines.
func (t *tracer) read(seg *shm.Segment, worker int, d *trace.Reader) {
	for range trace.Events {
		var e trace.Event
		ok, lost := d.Next(&e)
		if lost > 0 {
			t.lines = append(t.lines, TraceLine{Time: time.Now(), Worker: worker, Lost: lost})
		}
		if !ok {
			return
		}
		if e.Station == trace.Rx {
			t.seen++
		}
		t.lines = append(t.lines, t.line(seg, worker, &e))
	}
}

func (t *tracer) line(seg *shm.Segment, worker int, e *trace.Event) TraceLine {
	l := TraceLine{
		Time: time.Now().Add(time.Duration(e.At - monotonic())), Worker: worker, Packet: e.Packet, Station: e.Station.String(),
		Seq: e.Seq, Ack: e.Ack, Window: e.Window, Length: e.Length, Flow: e.Flow, VLAN: e.VLAN, Size: e.Size,
	}
	switch e.Station {
	case trace.Rx, trace.Tx:
		l.Port, l.Proto, l.Flags, l.Options = flowtable.Side(e.Side).String(), e.Proto, tcpFlags(e.Flags), traceOptions(e.Options)
		src, dst := netip.AddrFrom16(e.Src).Unmap(), netip.AddrFrom16(e.Dst).Unmap()
		l.Src, l.Dst = src.String(), dst.String()
		if e.SrcPort != 0 || e.DstPort != 0 {
			l.Src, l.Dst = netip.AddrPortFrom(src, e.SrcPort).String(), netip.AddrPortFrom(dst, e.DstPort).String()
		}
	case trace.Translate:
		l.Port, l.Flags = flowtable.Side(e.Side).String(), tcpFlags(e.Flags)
	case trace.Verdict:
		l.State = "unknown to the table"
		if e.Flow != 0 {
			l.State, l.Verdict, l.Rule = flowtable.State(e.State).String(), flowtable.Policy(e.Policy).String(), t.rule(seg, flowtable.RuleRef(e.Rule))
		}
	case trace.Seal, trace.Open:
		l.OK = &e.OK
	case trace.Count:
		info := seg.Counters().Info(shm.Counter(e.Counter))
		l.Counter, l.Help, l.Number = info.Name, info.Help, e.Number
	}
	return l
}

// rule returns the name of a rule, empty where it is not known any more.
func (t *tracer) rule(seg *shm.Segment, ref flowtable.RuleRef) string {
	if t.rules != nil {
		if name, known := t.rules.Name(ref); known {
			return name
		}
	}
	set, err := connections.RuleSet(seg)
	if err != nil {
		return ""
	}
	t.rules = set
	name, _ := set.Name(ref)
	return name
}

// tcpFlags are the flags of a TCP header as tcpdump has them.
func tcpFlags(b uint8) string {
	text := make([]byte, 0, 8)
	for i, c := range []byte("FSRP.UEW") {
		if b>>i&1 != 0 {
			text = append(text, c)
		}
	}
	return string(text)
}

func traceOptions(b uint8) (names []string) {
	for i, name := range []string{"timestamps", "sack", "eno", "mss", "wscale", "tfo"} {
		if b>>i&1 != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (t *tracer) write(l *TraceLine) error {
	if err := t.control.SetWriteDeadline(time.Now().Add(watchPatience)); err != nil {
		return err
	}
	return t.json.Encode(l)
}

func (t *tracer) flush() error {
	if err := t.control.SetWriteDeadline(time.Now().Add(watchPatience)); err != nil {
		return err
	}
	return t.control.Flush()
}
