package worker

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// The benchmarks here are those of earlier versions, kept as they were so that figures can be compared with figures of then. They
// leave reception out, reuse buffers while they are warm and read records to make packets: package bench/packetpath measures
// without that.

// path is a worker with encrypted flows and prepared packets for all of them.
type path struct {
	*rig
	flows   []benchFlow
	size    int
	data    []byte // a data segment without its addresses
	ack     []byte // an acknowledgement
	next    int    // flow of the next packet
	ackNext int
}

type benchFlow struct {
	r      *flowtable.Record
	port   uint16
	net    byte
	saved  flowtable.Record
	sealed [][]byte // frames of the far end, for opening
}

const framesOfOneFlow = 1024

func newPath(t testing.TB, flows, size int, open func(g *rig, n int) *flowtable.Record) *path {
	g := newRig(t, flows+64, 4096, true)
	p := &path{rig: g, size: size, flows: make([]benchFlow, flows)}
	for n := range p.flows {
		r := open(g, n)
		tpl := flowTemplate(n, true)
		p.flows[n] = benchFlow{r: r, port: tpl.SrcPort, net: byte(n / 60000)}
	}
	in, out := flowTemplate(0, true), flowTemplate(0, false)
	p.data = g.raw(in, packet.Seg{Flags: packet.FlagACK | packet.FlagPSH, Win: 65535}, make([]byte, size))
	p.ack = g.raw(out, packet.Seg{Flags: packet.FlagACK, Win: 65535}, nil)
	return p
}

const trusted = mbuf.RxL4CksumGood | mbuf.RxIPCksumGood

// put writes a prepared packet with the numbers of a flow.
func put(m *mbuf.Mbuf, raw []byte, f *benchFlow, inside bool, seq, ack uint32) {
	m.Append(raw)
	m.OlFlags = trusted
	b := m.Data()
	if inside {
		b[26+2] = f.net
		binary.BigEndian.PutUint16(b[34:], f.port)
	} else {
		b[30+2] = f.net
		binary.BigEndian.PutUint16(b[36:], f.port)
	}
	binary.BigEndian.PutUint32(b[38:], seq)
	binary.BigEndian.PutUint32(b[42:], ack)
}

// seal runs n segments from the hosts through the worker; the far ends acknowledge what the poll before sent.
func (p *path) seal(n int) {
	burst, acked := 0, 0
	frame := uint32(p.size + tcpcrypt.Overhead)
	one := len(p.flows) == 1
	p.in.fill = func(m *mbuf.Mbuf) bool {
		f := &p.flows[p.next]
		seq := hostISN + 1 + uint32(f.r.Egress.PNext)
		if one {
			seq += uint32(burst * p.size)
		}
		put(m, p.data, f, true, seq, peerISN+1)
		p.next = (p.next + 1) % len(p.flows)
		burst++
		return true
	}
	p.out.fill = func(m *mbuf.Mbuf) bool {
		f := &p.flows[p.ackNext]
		ack := hostISN + 1 + uint32(f.r.Egress.WNext)
		if one {
			acked++
			ack -= uint32(2*port.Burst-2*acked) * frame
		}
		put(m, p.ack, f, false, peerISN+81, ack)
		p.ackNext = (p.ackNext + 1) % len(p.flows)
		return true
	}
	for done := 0; done < n; done += port.Burst {
		p.in.limit = port.Burst
		burst, acked = 0, 0
		p.w.Poll(p.now)
		p.out.limit = port.Burst
		if one {
			p.out.limit = port.Burst / 2
		}
	}
}

// prepareOpen seals what the far ends send, and keeps the records as they are before it.
func (p *path) prepareOpen() int {
	frames := 1
	if len(p.flows) == 1 {
		frames = framesOfOneFlow
	}
	key := p.master.Traffic(tcpcrypt.AES128GCM, tcpcrypt.AB)
	out := flowTemplate(0, false)
	for n := range p.flows {
		f := &p.flows[n]
		f.saved = *f.r
		w := uint64(80)
		for range frames {
			frame, err := tcpcrypt.Seal(nil, &key, w, tcpcrypt.Frame{Plaintext: tcpcrypt.Plaintext{Data: make([]byte, p.size)}})
			if err != nil {
				p.t.Fatal(err)
			}
			f.sealed = append(f.sealed, p.raw(out, packet.Seg{Flags: packet.FlagACK, Win: 65535}, frame))
			w += uint64(len(frame))
		}
	}
	p.ack = p.raw(flowTemplate(0, true), packet.Seg{Flags: packet.FlagACK, Win: 65535}, nil)
	return frames * len(p.flows)
}

// open runs one round of the prepared frames through the worker; the hosts acknowledge what they got.
func (p *path) open(round int) {
	one := len(p.flows) == 1
	next, acked, burst := 0, 0, 0
	p.out.fill = func(m *mbuf.Mbuf) bool {
		f, k := &p.flows[next%len(p.flows)], next/len(p.flows)
		put(m, f.sealed[k], f, false, peerISN+81+uint32(k*(p.size+tcpcrypt.Overhead)), hostISN+81)
		next++
		return true
	}
	p.in.fill = func(m *mbuf.Mbuf) bool {
		f := &p.flows[acked%len(p.flows)]
		ack := peerISN + 1 + uint32(f.r.Ingress.PNext)
		if one {
			burst++
			ack -= uint32((port.Burst/2 - burst) * 2 * p.size)
		}
		put(m, p.ack, f, true, hostISN+1, ack)
		acked++
		return true
	}
	p.in.limit = 0
	for done := 0; done < round; done += port.Burst {
		sent := min(port.Burst, round-done)
		p.out.limit, burst = sent, 0
		p.w.Poll(p.now)
		p.in.limit = sent
		if one {
			p.in.limit = port.Burst / 2
		}
	}
	burst = 0
	for p.in.limit > 0 {
		p.w.Poll(p.now)
	}
}

// rewind lets the same frames be opened again.
func (p *path) rewind() {
	for n := range p.flows {
		f := &p.flows[n]
		if f.r.Ingress.Queue.Count != 0 {
			p.t.Fatalf("flow %d: %d frames are not acknowledged", n, f.r.Ingress.Queue.Count)
		}
		nr := f.r.Ingress.NR
		f.r.Ingress = f.saved.Ingress
		f.r.Ingress.NR = nr
		f.r.Egress = f.saved.Egress
	}
}

// report turns the stage counters into nanoseconds a packet, in and outside crypto; receiving is the harness and left out.
func (p *path) report(b *testing.B, packets int, counts shm.Block) {
	perNs := tsc.PerSecond(20*time.Millisecond) / 1e9
	crypto := p.w.n[shm.StageCrypto.Cycles()] - counts[shm.StageCrypto.Cycles()]
	var other uint64
	for _, s := range []shm.Stage{shm.StageParse, shm.StageLookup, shm.StageStream, shm.StageRewrite, shm.StageTx} {
		other += p.w.n[s.Cycles()] - counts[s.Cycles()]
	}
	b.ReportMetric(float64(crypto)/perNs/float64(packets), "crypto-ns/pkt")
	b.ReportMetric(float64(other)/perNs/float64(packets), "other-ns/pkt")
}

func cases(b *testing.B, f func(b *testing.B, flows, size int)) {
	for _, flows := range []int{1, 100_000} {
		for _, size := range []int{64, 1380} {
			b.Run(fmt.Sprintf("flows=%d/payload=%d", flows, size), func(b *testing.B) { f(b, flows, size) })
		}
	}
}

// BenchmarkSeal is the way of a host's segment to the wire, one operation a segment, acknowledgements of the far end included.
func BenchmarkSeal(b *testing.B) {
	cases(b, func(b *testing.B, flows, size int) {
		p := newPath(b, flows, size, (*rig).openPassive)
		p.seal(4 * max(flows, 1024))
		b.SetBytes(int64(size))
		b.ReportAllocs()
		counts := *p.w.n
		sealed := *p.w.n
		b.ResetTimer()
		p.seal(b.N)
		b.StopTimer()
		n := (b.N + port.Burst - 1) / port.Burst * port.Burst
		if got := p.sealedFrames() - framesIn(&sealed); got != uint64(n) {
			b.Fatalf("%d segments were sealed, not %d", got, n)
		}
		p.report(b, n, counts)
	})
}

// BenchmarkOpen is the way of a frame from the wire to the host, one operation a frame, acknowledgements of the host included.
func BenchmarkOpen(b *testing.B) {
	cases(b, func(b *testing.B, flows, size int) {
		p := newPath(b, flows, size, (*rig).openPassive)
		round := p.prepareOpen()
		p.open(round)
		p.rewind()
		b.SetBytes(int64(size))
		b.ReportAllocs()
		counts := *p.w.n
		b.ResetTimer()
		n := 0
		for ; n < b.N; n += round {
			p.open(round)
			if n+round < b.N {
				b.StopTimer()
				p.rewind()
				b.StartTimer()
			}
		}
		b.StopTimer()
		if got := p.openedFrames() - openedIn(&counts); got < uint64(n) {
			b.Fatalf("%d frames were opened, not %d", got, n)
		}
		p.report(b, n, counts)
	})
}

// forward runs n segments of plain connections from the hosts to the far ends.
func (p *path) forward(n int) {
	p.in.fill = func(m *mbuf.Mbuf) bool {
		put(m, p.data, &p.flows[p.next], true, hostISN+1, peerISN+1)
		p.next = (p.next + 1) % len(p.flows)
		return true
	}
	for done := 0; done < n; done += port.Burst {
		p.in.limit = port.Burst
		p.w.Poll(p.now)
	}
}

// openPlain makes flow n a connection that is not encrypted.
func (g *rig) openPlain(n int) *flowtable.Record {
	g.t.Helper()
	g.feed(g.out, g.raw(flowTemplate(n, false), packet.Seg{Seq: peerISN, Win: 65535, Flags: packet.FlagSYN, Other: synOptions}, nil))
	g.feed(g.in, g.raw(flowTemplate(n, true), hostSynAck(), nil))
	g.feed(g.out, g.raw(flowTemplate(n, false), fromPeer(1, 1, ack), nil))
	g.feed(g.out, g.raw(flowTemplate(n, false), fromPeer(1, 1, ack|psh), []byte("question")))
	r := g.record(n)
	if r == nil || r.State != flowtable.Plain {
		g.t.Fatalf("flow %d is not plain: %+v", n, r)
	}
	return r
}

// BenchmarkPass is the way of a segment that stays as it is.
func BenchmarkPass(b *testing.B) {
	cases(b, func(b *testing.B, flows, size int) {
		p := newPath(b, flows, size, (*rig).openPlain)
		p.forward(max(flows, 1024))
		b.SetBytes(int64(size))
		b.ReportAllocs()
		counts := *p.w.n
		b.ResetTimer()
		p.forward(b.N)
		b.StopTimer()
		n := (b.N + port.Burst - 1) / port.Burst * port.Burst
		if got := p.w.n[shm.PassedPackets] - counts[shm.PassedPackets]; got != uint64(n) {
			b.Fatalf("%d segments passed, not %d", got, n)
		}
		p.report(b, n, counts)
	})
}

func framesIn(b *shm.Block) uint64 { return b[shm.SealedFrames] }
func openedIn(b *shm.Block) uint64 { return b[shm.OpenedFrames] }

func (p *path) sealedFrames() uint64 { return framesIn(p.w.n) }
func (p *path) openedFrames() uint64 { return openedIn(p.w.n) }
