package responder

import (
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"testing"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// everything is a policy that allows all TEPs and AEADs.
func everything() Terms {
	return Terms{Policy: flowtable.Opportunistic, Aware: config.AwareOff, TEPs: tcpcrypt.TEPs(), AEADs: tcpcrypt.AEADs()}
}

func newResponder(t testing.TB, change func(*Terms)) *Responder {
	t.Helper()
	p := everything()
	if change != nil {
		change(&p)
	}
	r, err := New(p, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var ref = shm.FlowRef{Worker: 3, Index: 77, Gen: 9}

// ask hands a request over as the rings do, encoded and decoded, and gives back the reply in the same way.
func ask(t testing.TB, r *Responder, q shm.Request) shm.Reply {
	t.Helper()
	q.Ref, q.Seq = ref, 0xabcd0000+uint32(q.Kind)
	wire := make([]byte, q.Size())
	if _, err := q.Encode(wire); err != nil {
		t.Fatal(err)
	}
	var got shm.Request
	if err := got.Decode(wire); err != nil {
		t.Fatal(err)
	}
	var reply shm.Reply
	r.Handle(&got, &reply)
	clear(wire) // a reply must not alias its request
	if reply.Ref != q.Ref || reply.Seq != q.Seq {
		t.Fatalf("reply is for %+v, %x", reply.Ref, reply.Seq)
	}
	back := make([]byte, reply.Size())
	if _, err := reply.Encode(back); err != nil {
		t.Fatalf("%v: %v", reply.Kind, err)
	}
	var out shm.Reply
	if err := out.Decode(back); err != nil {
		t.Fatalf("%v: %v", reply.Kind, err)
	}
	return out
}

func want(t testing.TB, p shm.Reply, k shm.ReplyKind) shm.Reply {
	t.Helper()
	if p.Kind != k {
		t.Fatalf("%v (%v), want %v", p.Kind, p.Reason, k)
	}
	return p
}

// handshake is what two data planes know of a connection.
type handshake struct {
	enoA, enoB, secret, init1, init2 []byte
	tepByte                          uint8
}

func (h *handshake) answerRequest() shm.Request {
	return shm.Request{Kind: shm.ActiveAnswer, ENOA: h.enoA, ENOB: h.enoB}
}

func (h *handshake) passiveRequest() shm.Request {
	return shm.Request{Kind: shm.PassiveKeys, ENOA: h.enoA, ENOB: h.enoB, Init1: h.init1}
}

func (h *handshake) activeRequest() shm.Request {
	return shm.Request{Kind: shm.ActiveKeys, ENOA: h.enoA, ENOB: h.enoB, Secret: h.secret, Init1: h.init1, Init2: h.init2}
}

// negotiated is a handshake whose SYN and SYN-ACK have carried what the data planes of both gateways send by their rules.
func negotiated(t testing.TB, a, b *Responder) handshake {
	t.Helper()
	ra, rb := a.Rules(), b.Rules()
	answer, _, err := eno.Answer(nil, ra.Offer(), eno.AnswerRules{Prefer: rb.TEPs(), Aware: rb.Aware, RequireAware: rb.Mandatory, Valid: valid})
	if err != nil {
		t.Fatal(err)
	}
	return handshake{enoA: slices.Clone(ra.Offer()), enoB: answer}
}

// untilInit1 runs a handshake up to a host A that has sent Init1.
func untilInit1(t testing.TB, a, b *Responder) handshake {
	t.Helper()
	h := negotiated(t, a, b)
	p := want(t, ask(t, a, h.answerRequest()), shm.Init1)
	h.secret, h.init1, h.tepByte = p.Secret, p.Init, p.TEP
	return h
}

// untilInit2 runs a handshake up to a host B that has its keys.
func untilInit2(t testing.TB, a, b *Responder) (handshake, shm.Reply) {
	t.Helper()
	h := untilInit1(t, a, b)
	p := want(t, ask(t, b, h.passiveRequest()), shm.Keys)
	h.init2 = p.Init
	return h, p
}

func enoOption(contents ...byte) []byte {
	return append([]byte{eno.Kind, byte(2 + len(contents))}, contents...)
}

// brokenAfter gives n bytes of randomness, then fails.
type brokenAfter struct{ n int }

func (b *brokenAfter) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, errors.New("device failed")
	}
	p = p[:min(len(p), b.n)]
	b.n -= len(p)
	return io.ReadFull(rand.Reader, p)
}
