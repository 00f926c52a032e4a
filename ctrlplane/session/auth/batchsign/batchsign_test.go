package batchsign

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"linecrypt/flowtable"
)

const (
	a = flowtable.RoleA
	b = flowtable.RoleB
)

func testKey(n byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, 32)) }

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func session(n int) []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return append([]byte{0x23}, h[:]...)
}

func batchOf(n int) []Session {
	all := make([]Session, n)
	for i := range all {
		all[i] = Session{ID: session(i), Role: b}
	}
	return all
}

func sign(t testing.TB, n int) []Proof {
	t.Helper()
	proofs, err := Sign(testKey(1), batchOf(n))
	if err != nil {
		t.Fatal(err)
	}
	return proofs
}

func TestEveryMemberOfABatchOfAnySizeIsProven(t *testing.T) {
	for n := 1; n <= 70; n++ {
		for i, p := range sign(t, n) {
			raw, err := p.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			var q Proof
			if err := q.UnmarshalBinary(raw); err != nil || !reflect.DeepEqual(p, q) {
				t.Fatalf("%d of %d: %v", i, n, err)
			}
			if err := q.Verify(public(testKey(1)), b, session(i)); err != nil {
				t.Errorf("%d of %d: %v", i, n, err)
			}
			if err := q.Verify(public(testKey(1)), b, session(i+1)); !errors.Is(err, ErrProof) {
				t.Errorf("%d of %d proves another session: %v", i, n, err)
			}
		}
	}
}

func TestTreeIsThatOfRFC6962(t *testing.T) {
	// Section 2.1.3, seven leaves: ((d0 d1)(d2 d3))((d4 d5) d6).
	hash := func(l, r Hash) Hash { return node(&l, &r) }
	var d [7]Hash
	for i := range d {
		d[i] = leaf(b, session(i))
	}
	want := hash(hash(hash(d[0], d[1]), hash(d[2], d[3])), hash(hash(d[4], d[5]), d[6]))
	if got := build(d[:], make([][]Hash, len(d))); got != want {
		t.Errorf("root %x, want %x", got, want)
	}
	if want := sha256.Sum256(append([]byte{0, 2}, session(0)...)); d[0] != want {
		t.Errorf("leaf %x, want %x", d[0], want)
	}
}

func TestProofHoldsForItsKeyRoleAndPlaceAlone(t *testing.T) {
	whole := sign(t, 5)
	for name, spoil := range map[string]func(p *Proof, key *ed25519.PublicKey, role *flowtable.Role){
		"another key":         func(_ *Proof, k *ed25519.PublicKey, _ *flowtable.Role) { *k = public(testKey(2)) },
		"no key":              func(_ *Proof, k *ed25519.PublicKey, _ *flowtable.Role) { *k = nil },
		"the other role":      func(_ *Proof, _ *ed25519.PublicKey, r *flowtable.Role) { *r = a },
		"another place":       func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Index = 2 },
		"a place beyond":      func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Index = 5 },
		"another size":        func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Leaves = 6 },
		"no size":             func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Leaves = 0 },
		"a shorter path":      func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Path = p.Path[1:] },
		"a longer path":       func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Path = append(p.Path, Hash{}) },
		"a changed hash":      func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Path[1][3] ^= 1 },
		"a changed signature": func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) { p.Signature[9] ^= 1 },
		"a node that is a leaf": func(p *Proof, _ *ed25519.PublicKey, _ *flowtable.Role) {
			p.Leaves, p.Index, p.Path = 2, 1, p.Path[len(p.Path)-1:]
		},
	} {
		p := whole[3]
		p.Path = append([]Hash(nil), p.Path...)
		key, role := public(testKey(1)), b
		spoil(&p, &key, &role)
		if err := p.Verify(key, role, session(3)); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNodeCannotPassForASession(t *testing.T) {
	// Two leaves are a string of 64 bytes that might be taken for a session ID.
	d0, d1 := leaf(b, session(0)), leaf(b, session(1))
	pair := append(d0[:], d1[:]...)
	proofs := sign(t, 2)
	p := Proof{Leaves: 1, Signature: proofs[0].Signature}
	if err := p.Verify(public(testKey(1)), b, pair); !errors.Is(err, ErrProof) {
		t.Errorf("%v", err)
	}
}

func TestWhatIsNoBatchIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		key  ed25519.PrivateKey
		list []Session
		want error
	}{
		"none":         {testKey(1), nil, ErrBatch},
		"too many":     {testKey(1), make([]Session, MaxBatch+1), ErrBatch},
		"no key":       {nil, batchOf(1), ErrBatch},
		"short ID":     {testKey(1), []Session{{ID: session(1)[1:], Role: a}}, ErrSession},
		"without role": {testKey(1), []Session{{ID: session(1)}}, ErrRole},
	} {
		if _, err := Sign(c.key, c.list); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignerSignsWhatComesTogetherOnce(t *testing.T) {
	const clients = 100
	s, err := NewSigner(testKey(1), time.Hour, clients)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			p, err := s.Prove(context.Background(), Session{ID: session(i), Role: b})
			if err == nil {
				err = p.Verify(public(testKey(1)), b, session(i))
			}
			if err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := s.Batches(); n != 1 {
		t.Errorf("%d signatures", n)
	}
}

func TestSignerSignsWhatThereIsWhenItsTimeIsOver(t *testing.T) {
	s, err := NewSigner(testKey(1), time.Millisecond, MaxBatch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		p, err := s.Prove(context.Background(), Session{ID: session(i), Role: a})
		if err == nil {
			err = p.Verify(public(testKey(1)), a, session(i))
		}
		if err != nil {
			t.Error(err)
		}
	}
	if n := s.Batches(); n != 2 {
		t.Errorf("%d signatures", n)
	}
}

func TestSessionThatCannotBeSignedSpoilsNoBatch(t *testing.T) {
	s, err := NewSigner(testKey(1), time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Prove(context.Background(), Session{ID: []byte("x"), Role: a}); !errors.Is(err, ErrSession) {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	patient, _ := NewSigner(testKey(1), time.Hour, 2)
	if _, err := patient.Prove(ended, Session{ID: session(1), Role: a}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func FuzzProof(f *testing.F) {
	for _, n := range []int{1, 5, 64} {
		proofs, err := Sign(testKey(1), batchOf(n))
		if err != nil {
			f.Fatal(err)
		}
		raw, err := proofs[n-1].MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p Proof
		if err := p.UnmarshalBinary(raw); err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		again, err := p.MarshalBinary()
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("%x becomes %x: %v", raw, again, err)
		}
		if p.Verify(public(testKey(2)), a, session(1)) == nil {
			t.Fatal("a proof under a key that signed nothing")
		}
	})
}

func BenchmarkSign1000(b *testing.B) {
	list := batchOf(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Sign(testKey(1), list); err != nil {
			b.Fatal(err)
		}
	}
}
