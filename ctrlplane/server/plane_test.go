package server

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// patience bounds every wait of these tests.
const patience = 10 * time.Second

// plane is a data plane that holds still: its segment, and the workers' ends of the rings, which a test plays.
type plane struct {
	t     testing.TB
	dir   string
	seg   *shm.Segment
	lanes []testLane
}

type testLane struct {
	w        *shm.Worker
	flows    *flowtable.Table
	requests *shm.Producer
	replies  *shm.Consumer
}

func params(t testing.TB, workers int) shm.Params {
	t.Helper()
	return shm.Params{
		Name: "gw", Inside: "in0", Outside: "out0", Engine: "generic", Cores: make([]int, workers),
		Flows: flowtable.Layout{Capacity: 2048, Chunks: 16}, RequestRing: 128 << 10, ReplyRing: 128 << 10, Resumption: 4096,
	}
}

// newPlane makes a data plane in dir.
func newPlane(t testing.TB, dir string, workers int) *plane {
	t.Helper()
	seg, err := shm.Create(dir, params(t, workers))
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{t: t, dir: dir, seg: seg}
	t.Cleanup(p.end)
	for i := range workers {
		w := seg.Worker(i)
		flows, err := flowtable.New(w.FlowMemory, w.Layout, [2]uint64{1, uint64(i)}, 1)
		if err != nil {
			t.Fatal(err)
		}
		p.lanes = append(p.lanes, testLane{w, flows, shm.NewProducer(w.Requests), shm.NewConsumer(w.Replies)})
	}
	return p
}

// end is the end of the data plane, as if it were killed.
func (p *plane) end() {
	if p.seg != nil {
		p.seg.Close()
		p.seg = nil
	}
}

// flow makes a connection in some state and returns its reference and addresses.
func (p *plane) flow(worker int, port uint16, s flowtable.State) (shm.FlowRef, flowtable.Key) {
	l := &p.lanes[worker]
	k := flowtable.Key{Inside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Outside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 2}, InsidePort: port, OutsidePort: 80}
	i, _ := l.flows.Insert(&k, l.flows.Hash(&k), 1)
	l.flows.SetState(i, s)
	return shm.FlowRef{Worker: uint16(worker), Index: i, Gen: l.flows.Record(i).Gen}, k
}

// counter returns what the control plane has counted.
func (p *plane) counter(c shm.Counter) uint64 { return atomic.LoadUint64(&p.seg.ControlCounters()[c]) }

func (p *plane) send(worker int, q shm.Request) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for !p.lanes[worker].requests.SendRequest(&q) {
		if time.Now().After(deadline) {
			p.t.Fatalf("no room for %v", q.Kind)
		}
		time.Sleep(time.Millisecond)
	}
}

// receive waits for a worker's next reply, a copy.
func (p *plane) receive(worker int) shm.Reply {
	p.t.Helper()
	r, ok := p.receiveWithin(worker, patience)
	if !ok {
		p.t.Fatal("no reply")
	}
	return r
}

// receiveWithin waits so long for a worker's next reply; one that is there is found however late it is looked for.
func (p *plane) receiveWithin(worker int, d time.Duration) (shm.Reply, bool) {
	p.t.Helper()
	c := p.lanes[worker].replies
	for deadline := time.Now().Add(d); ; time.Sleep(100 * time.Microsecond) {
		late := time.Now().After(deadline)
		msg, err := c.Peek()
		if err != nil {
			p.t.Fatal(err)
		}
		if msg != nil {
			var r shm.Reply
			if err := r.Decode(append([]byte(nil), msg...)); err != nil {
				p.t.Fatal(err)
			}
			c.Release()
			return r, true
		}
		if late {
			return shm.Reply{}, false
		}
	}
}

// call sends a request and waits for its reply.
func (p *plane) call(worker int, q shm.Request, want shm.ReplyKind) shm.Reply {
	p.t.Helper()
	p.send(worker, q)
	r := p.receive(worker)
	if r.Kind != want || r.Ref != q.Ref || r.Seq != q.Seq {
		p.t.Fatalf("%v is answered by %v (%v) for %+v, %d", q.Kind, r.Kind, r.Reason, r.Ref, r.Seq)
	}
	return r
}

// rules waits until the data plane has something to decide on ENO by.
func (p *plane) rules() *shm.Rules {
	p.t.Helper()
	var r shm.Rules
	eventually(p.t, "rules are published", func() bool { return p.seg.Rules(&r) })
	return &r
}

// answerTo is the option by which a gateway answers another one's, each by its rules.
func answerTo(t testing.TB, offer []byte, r *shm.Rules) []byte {
	t.Helper()
	option, _, err := eno.Answer(nil, offer, eno.AnswerRules{Prefer: r.TEPs(), Aware: r.Aware, RequireAware: r.Mandatory})
	if err != nil {
		t.Fatal(err)
	}
	return option
}

// futile is a request that is answered at once, without a key: its options have no TEP in common.
func futile(ref shm.FlowRef, seq uint32) shm.Request {
	return shm.Request{Kind: shm.ActiveAnswer, Ref: ref, Seq: seq, ENOA: []byte{eno.Kind, 3, 0x23}, ENOB: []byte{eno.Kind, 3, 1}}
}

// mustBegin demands that the key exchange of a new connection begins.
func (p *plane) mustBegin(worker int) {
	p.t.Helper()
	ref, key := p.flow(worker, 65535, flowtable.ActiveAnswer)
	r := p.rules()
	p.call(worker, shm.Request{Kind: shm.ActiveAnswer, Ref: ref, Tuple: key, ENOA: r.Offer(), ENOB: answerTo(p.t, r.Offer(), r)}, shm.Init1)
	p.lanes[worker].flows.Remove(ref.Index)
}

// table opens the session table for reading.
func (p *plane) table() *sessiontable.Table {
	p.t.Helper()
	t, err := sessiontable.Open(sessiontable.Path(p.dir, "gw"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { t.Close() })
	return t
}

// options are those of a control plane for a data plane in dir.
func options(dir string) Options {
	return Options{
		Open: func() (*shm.Segment, error) { return shm.OpenControl(dir, "gw") },
		OpenSessions: func(s *shm.Segment) (*sessiontable.Table, error) {
			return sessiontable.OpenWriter(sessiontable.Path(dir, "gw"), sessiontable.Options{Capacity: 256, Instance: s.Nonce(), Group: -1})
		},
		Terms: responder.TermsOf(config.Default()),
		Wait:  patience,
	}
}

// run starts a control plane and waits until it serves. The function returned ends it and is idempotent.
func run(t testing.TB, o Options) (*Server, func()) {
	t.Helper()
	ready := make(chan struct{})
	o.Ready = func() { close(ready) }
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ended := false
	stop := func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-done:
		t.Fatalf("run: %v", err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
	return s, stop
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// peer is the other gateway of a handshake, without a process.
func peer(t *testing.T) *responder.Responder {
	t.Helper()
	p := responder.TermsOf(config.Default())
	p.TEPs = []tcpcrypt.TEP{tcpcrypt.ECDHECurve25519}
	r, err := responder.New(p, zeroFree{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// zeroFree is a source of numbers that no secret depends on.
type zeroFree struct{}

func (zeroFree) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(i + 1)
	}
	return len(b), nil
}
