package tcpcrypt

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func generated(t *testing.T, tep TEP) *PrivateKey {
	t.Helper()
	k, err := GenerateKey(tep, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestBothHostsComputeTheSameSecretWithEveryTEP(t *testing.T) {
	for _, tep := range TEPs() {
		a, b := generated(t, tep), generated(t, tep)
		atA, errA := a.Shared(b.Public())
		atB, errB := b.Shared(a.Public())
		if errA != nil || errB != nil || !bytes.Equal(atA, atB) {
			t.Errorf("%v: %x, %v and %x, %v", tep, atA, errA, atB, errB)
		}
	}
}

func TestExportedPrivateKeyIsTheSameKeyWhenImported(t *testing.T) {
	for _, tep := range TEPs() {
		k, peer := generated(t, tep), generated(t, tep)
		again, err := NewPrivateKey(tep, k.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		one, err1 := k.Shared(peer.Public())
		two, err2 := again.Shared(peer.Public())
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) || !bytes.Equal(k.Public(), again.Public()) || again.TEP() != tep {
			t.Errorf("%v: imported key differs: %v, %v", tep, err1, err2)
		}
	}
}

func TestKeysComeFromTheGivenReader(t *testing.T) {
	for _, tep := range TEPs() {
		stream := strings.Repeat("a fixed stream of bytes that stands for randomness", 4)
		one, err1 := GenerateKey(tep, strings.NewReader(stream))
		two, err2 := GenerateKey(tep, strings.NewReader(stream))
		if err1 != nil || err2 != nil || !bytes.Equal(one.Public(), two.Public()) {
			t.Errorf("%v: same bytes make different keys: %v, %v", tep, err1, err2)
		}
		if _, err := GenerateKey(tep, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: short reader: %v", tep, err)
		}
	}
}

// endless is a reader of one byte value without end.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestReaderThatNeverGivesAScalarInRangeIsGivenUp(t *testing.T) {
	for _, tep := range []TEP{ECDHEP256, ECDHEP521} {
		for _, e := range []endless{0, 0xff} {
			if _, err := GenerateKey(tep, e); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("%v from bytes 0x%02x: %v", tep, byte(e), err)
			}
		}
	}
}

func TestPrivateKeyBytesAreChecked(t *testing.T) {
	for _, tep := range TEPs() {
		k := generated(t, tep)
		for _, raw := range [][]byte{nil, k.Bytes()[1:], append(k.Bytes(), 0)} {
			if _, err := NewPrivateKey(tep, raw); !errors.Is(err, ErrPrivateKey) {
				t.Errorf("%v: %d bytes: %v", tep, len(raw), err)
			}
		}
	}
	if _, err := NewPrivateKey(0x20, make([]byte, 32)); !errors.Is(err, ErrTEP) {
		t.Errorf("unknown TEP: %v", err)
	}
	if _, err := GenerateKey(0x20, rand.Reader); !errors.Is(err, ErrTEP) {
		t.Errorf("unknown TEP: %v", err)
	}
}

func TestPublicKeyOfWrongLengthIsRefused(t *testing.T) {
	for _, tep := range TEPs() {
		k := generated(t, tep)
		for _, peer := range [][]byte{nil, k.Public()[1:], append(bytes.Clone(k.Public()), 0)} {
			if _, err := k.Shared(peer); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%v: %d bytes: %v", tep, len(peer), err)
			}
		}
	}
}

func TestPublicKeyOfNISTCurvesMustBeACompressedPointOnTheCurve(t *testing.T) {
	for tep, curve := range map[TEP]ecdh.Curve{ECDHEP256: ecdh.P256(), ECDHEP521: ecdh.P521()} {
		k, other := generated(t, tep), generated(t, tep)
		edit := func(f func(b []byte)) []byte {
			b := bytes.Clone(other.Public())
			f(b)
			return b
		}
		std, err := curve.NewPrivateKey(other.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		full := std.PublicKey().Bytes()
		uncompressed := append([]byte{0, byte(len(full))}, full...)
		for name, peer := range map[string][]byte{
			"uncompressed":          uncompressed,
			"uncompressed, cut":     edit(func(b []byte) { copy(b[2:], full) }),
			"form 5":                edit(func(b []byte) { b[2] = 5 }),
			"form 0":                edit(func(b []byte) { b[2] = 0 }),
			"point at infinity":     {0, 1, 0},
			"infinity, zero padded": edit(func(b []byte) { clear(b[2:]) }),
			"x beyond the field":    edit(func(b []byte) { copy(b[3:], bytes.Repeat([]byte{0xff}, 99)) }),
			"wrong pubkey_len":      edit(func(b []byte) { b[1]++ }),
		} {
			if _, err := k.Shared(peer); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%v: %s: %v", tep, name, err)
			}
		}
		mirrored := edit(func(b []byte) { b[2] ^= 1 })
		if _, err := k.Shared(mirrored); err != nil {
			t.Errorf("%v: the point with the other y: %v", tep, err)
		}
	}
}

func TestXWithoutAPointOnTheCurveIsRefused(t *testing.T) {
	for _, tep := range []TEP{ECDHEP256, ECDHEP521} {
		k := generated(t, tep)
		refused := 0
		for x := range 64 {
			peer := bytes.Clone(k.Public())
			clear(peer[3:])
			peer[len(peer)-1] = byte(x)
			if _, err := k.Shared(peer); errors.Is(err, ErrPublicKey) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if refused < 10 || refused > 54 {
			t.Errorf("%v: %d of 64 x are refused; about half have no point", tep, refused)
		}
	}
}

func TestPublicKeyThatMakesTheSecretZeroIsRefused(t *testing.T) {
	one := func(n int) []byte { return append([]byte{1}, make([]byte, n-1)...) }
	for tep, peers := range map[TEP][][]byte{
		ECDHECurve25519: {make([]byte, 32), one(32)},
		ECDHECurve448:   {make([]byte, 56), one(56)},
	} {
		k := generated(t, tep)
		for _, peer := range peers {
			if es, err := k.Shared(peer); !errors.Is(err, ErrPublicKey) {
				t.Errorf("%v: %x gives %x, %v", tep, peer, es, err)
			}
		}
	}
}

func TestWipedKeyIsGone(t *testing.T) {
	for _, tep := range TEPs() {
		k := generated(t, tep)
		k.Wipe()
		if !bytes.Equal(k.Bytes(), make([]byte, len(k.Bytes()))) || k.key != nil {
			t.Errorf("%v: scalar left", tep)
		}
		if _, err := k.Shared(generated(t, tep).Public()); !errors.Is(err, ErrPrivateKey) {
			t.Errorf("%v: wiped key agrees: %v", tep, err)
		}
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	k := generated(t, ECDHECurve25519)
	s := Session{Secret: Secret{0xab}, Master: MasterKey{0xab}}
	key := TrafficKey{Key: [32]byte{0xab}}
	for _, v := range []any{k, s, s.Secret, s.Master, key, &key, &s} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			text := fmt.Sprintf(verb, v)
			if strings.Contains(text, "171") || strings.Contains(text, "0xab") || strings.Contains(text, "ab0") {
				t.Errorf("%T prints as %s", v, text)
			}
		}
	}
}
