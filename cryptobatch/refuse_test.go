package cryptobatch

import (
	"bytes"
	"testing"
)

// forge returns wrong versions of a sealed operation, by what is wrong.
func forge(c *opCase, other *Key) map[string]func(*Op) {
	last := len(c.sealed) - 1
	return map[string]func(*Op){
		"first byte":       func(op *Op) { op.Src[0] ^= 0x80 },
		"middle bit":       func(op *Op) { op.Src[len(op.Src)/2] ^= 1 },
		"tag's first bit":  func(op *Op) { op.Src[len(op.Src)-TagLen] ^= 1 },
		"tag's last bit":   func(op *Op) { op.Src[last] ^= 0x80 },
		"nonce":            func(op *Op) { op.Nonce[11] ^= 1 },
		"associated data":  func(op *Op) { op.AAD[len(op.AAD)-1] ^= 1 },
		"shorter AAD":      func(op *Op) { op.AAD = op.AAD[:len(op.AAD)-1] },
		"another key":      func(op *Op) { op.Key = other },
		"zero tag":         func(op *Op) { clear(op.Src[last-15:]) },
		"truncated by one": func(op *Op) { op.Src = op.Src[:last] },
	}
}

func TestForgedOperationFailsAloneAndLeavesNoPlaintext(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(20)
		keys, others := testKeys(t, e, rng, 1), testKeys(t, e, rng, 1)
		b := e.NewBatcher(64)
		for ki, k := range keys {
			for _, n := range []int{0, 1, 16, 63, 64, 65, 127, 256, 1460, 4096} {
				for _, inPlace := range []bool{false, true} {
					bad := newOpCase(rng, k, n, 7, inPlace)
					for what, spoil := range forge(&bad, others[ki].key) {
						if n == 0 && what == "truncated by one" {
							continue // too short to be worked, see the next test
						}
						around := []opCase{
							newOpCase(rng, k, n, 3, true), newOpCase(rng, keys[0], 300, 4, false),
							newOpCase(rng, keys[1], n, 5, true), newOpCase(rng, keys[2], 77, 6, false),
						}
						checkForged(t, b, what, bad, spoil, around)
					}
				}
			}
		}
	})
}

func checkForged(t *testing.T, b Batcher, what string, bad opCase, spoil func(*Op), around []opCase) {
	t.Helper()
	const at = 2
	cases := append(append(append([]opCase{}, around[:at]...), bad), around[at:]...)
	ops, fields := make([]Op, len(cases)), make([]field, len(cases))
	for i := range cases {
		ops[i], fields[i] = cases[i].place(cases[i].sealed, len(cases[i].plain))
	}
	spoil(&ops[at])
	src := bytes.Clone(ops[at].Src)
	if failed := b.Open(ops); failed != 1 || ops[at].Status != StatusAuthFailed {
		t.Errorf("%s, %v, %d bytes: %d failed with %v, want one with %v",
			what, bad.k.alg, len(bad.plain), failed, ops[at].Status, StatusAuthFailed)
	}
	written := len(src) - TagLen
	if !bytes.Equal(ops[at].Dst[:written], make([]byte, written)) {
		t.Errorf("%s, %v, %d bytes, in place %v: Dst is not zeroed", what, bad.k.alg, len(bad.plain), bad.inPlace)
	}
	if !bad.inPlace && (!bytes.Equal(ops[at].Src, src) || !fields[at].marginsIntact(written)) {
		t.Errorf("%s, %v, %d bytes: wrote outside of Dst", what, bad.k.alg, len(bad.plain))
	}
	for i := range cases {
		if i != at {
			checkOp(t, "open beside a forgery", &cases[i], &ops[i], fields[i], cases[i].plain, len(cases[i].sealed))
		}
	}
}

// refusal is a bad input: make lays an operation out in mem, which must be the
// same afterwards.
type refusal struct {
	name string
	want Status
	make func(mem []byte, k *Key) Op
}

var sealRefusals = []refusal{
	{"no key", StatusBadKey, func(m []byte, _ *Key) Op { return Op{Src: m[:64], Dst: m[100:180]} }},
	{"key not expanded", StatusBadKey, func(m []byte, _ *Key) Op { return Op{Key: new(Key), Src: m[:64], Dst: m[100:180]} }},
	{"Dst one byte short", StatusBadLength, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:64], Dst: m[100:179]} }},
	{"Dst without room for the tag, in place", StatusBadLength, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:64], Dst: m[:64]} }},
	{"nothing to nothing", StatusBadLength, func(_ []byte, k *Key) Op { return Op{Key: k} }},
	{"AAD of 65 bytes", StatusBadAAD, func(m []byte, k *Key) Op { return Op{Key: k, AAD: m[200:265], Src: m[:64], Dst: m[100:180]} }},
	{"Dst one byte behind Src", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:64], Dst: m[1:81]} }},
	{"Dst one byte before Src", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[1:65], Dst: m[:80]} }},
	{"the tag upon Src's first byte", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[79:143], Dst: m[:80]} }},
	{"Dst upon Src's last byte", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:64], Dst: m[63:143]} }},
	{"the tag upon AAD", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, AAD: m[79:89], Src: m[:64], Dst: m[:80]} }},
	{"Dst upon AAD's last byte", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, AAD: m[91:101], Src: m[:64], Dst: m[100:180]} }},
}

var openRefusals = []refusal{
	{"no key", StatusBadKey, func(m []byte, _ *Key) Op { return Op{Src: m[:80], Dst: m[100:164]} }},
	{"key not expanded", StatusBadKey, func(m []byte, _ *Key) Op { return Op{Key: new(Key), Src: m[:80], Dst: m[100:164]} }},
	{"Src shorter than a tag", StatusBadLength, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:15], Dst: m[100:164]} }},
	{"Src empty", StatusBadLength, func(m []byte, k *Key) Op { return Op{Key: k, Dst: m[100:164]} }},
	{"Dst one byte short", StatusBadLength, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:80], Dst: m[100:163]} }},
	{"AAD of 65 bytes", StatusBadAAD, func(m []byte, k *Key) Op { return Op{Key: k, AAD: m[200:265], Src: m[:80], Dst: m[100:164]} }},
	{"Dst one byte behind Src", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:80], Dst: m[1:65]} }},
	{"Dst one byte before Src", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[1:81], Dst: m[:64]} }},
	{"Dst upon Src's tag", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, Src: m[:80], Dst: m[79:143]} }},
	{"Dst upon AAD", StatusBadOverlap, func(m []byte, k *Key) Op { return Op{Key: k, AAD: m[163:170], Src: m[:80], Dst: m[100:164]} }},
}

func TestBadInputIsRefusedUntouchedAndAlone(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng := newRand(21)
		b := e.NewBatcher(8)
		for _, k := range testKeys(t, e, rng, 1) {
			c := newOpCase(rng, k, 100, 8, true)
			for _, r := range sealRefusals {
				beside, f := c.place(c.plain, len(c.sealed))
				checkRefusal(t, "seal", b.Seal, r, k, beside)
				if !bytes.Equal(f.bytes(), c.sealed) {
					t.Errorf("seal, %s: the operation beside it came out wrong", r.name)
				}
			}
			for _, r := range openRefusals {
				beside, f := c.place(c.sealed, len(c.plain))
				checkRefusal(t, "open", b.Open, r, k, beside)
				if !bytes.Equal(f.bytes()[:100], c.plain) {
					t.Errorf("open, %s: the operation beside it came out wrong", r.name)
				}
			}
		}
	})
}

func checkRefusal(t *testing.T, what string, work func([]Op) int, r refusal, k testKey, beside Op) {
	t.Helper()
	mem := bytes.Repeat([]byte{canary}, 300)
	ops := []Op{r.make(mem, k.key), beside}
	if failed := work(ops); failed != 1 || ops[0].Status != r.want || !ops[0].Status.Refused() || ops[1].Status != StatusOK {
		t.Errorf("%s %v, %s: %d failed, %v, beside it %v; want %v", what, k.alg, r.name, failed, ops[0].Status, ops[1].Status, r.want)
	}
	if !bytes.Equal(mem, bytes.Repeat([]byte{canary}, len(mem))) {
		t.Errorf("%s %v, %s: memory was touched", what, k.alg, r.name)
	}
}

func TestStatusesHaveNames(t *testing.T) {
	for s, want := range map[Status]string{
		StatusNone: "none", StatusOK: "ok", StatusAuthFailed: "auth-failed", StatusBadKey: "bad-key",
		StatusBadLength: "bad-length", StatusBadAAD: "bad-aad", StatusBadOverlap: "bad-overlap", 99: "unknown",
	} {
		if s.String() != want {
			t.Errorf("Status(%d) = %q, want %q", uint8(s), s, want)
		}
	}
	if StatusAuthFailed.Refused() || StatusOK.Refused() || !StatusBadKey.Refused() {
		t.Error("Refused tells the caller's mistakes from the wire's wrongly")
	}
}
