package tcpcrypt_test

import (
	"bytes"
	"fmt"
	"testing"

	. "linecrypt/ctrlplane/tcpcrypt"
)

// forEachVector runs f for every case of every file.
func forEachVector(t *testing.T, f func(t *testing.T, c vectorCase)) {
	for _, name := range vectorFiles() {
		for i, c := range loadVectors(t, name) {
			t.Run(fmt.Sprintf("%s/%d_%s_%s", name, i, *c.TEPName, *c.AEADName), func(t *testing.T) { f(t, c) })
		}
	}
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// keyBytes is the traffic key as RFC 8548 writes it: K followed by NR.
func keyBytes(k TrafficKey) []byte {
	return append(k.Key[:k.KeyLen:k.KeyLen], k.NR[:]...)
}

// vectorKey imports a private key of the file, where those of the NIST curves are integers without leading zeros.
func vectorKey(t *testing.T, tep TEP, raw []byte) *PrivateKey {
	t.Helper()
	size := map[TEP]int{ECDHEP256: 32, ECDHEP521: 66}[tep]
	if n := size - len(raw); n > 0 {
		raw = append(make([]byte, n), raw...)
	}
	return must[*PrivateKey](t)(NewPrivateKey(tep, raw))
}

func vectorSession(t *testing.T, c vectorCase) Session {
	t.Helper()
	s, err := NewSession(*c.TEP, c.Transcript, c.Init1, c.Init2, c.ES)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVectorNames(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		if tep := must[TEP](t)(ParseTEP(*c.TEPName)); uint8(tep) != *c.TEP || tep.String() != *c.TEPName {
			t.Errorf("tep %s is %v, want 0x%02x", *c.TEPName, tep, *c.TEP)
		}
		if aead := must[AEAD](t)(ParseAEAD(*c.AEADName)); uint16(aead) != *c.AEAD || aead.String() != *c.AEADName {
			t.Errorf("aead %s is %v, want 0x%04x", *c.AEADName, aead, *c.AEAD)
		}
	})
}

func TestVectorInitMessagesAreMadeAndReadByteForByte(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		tep := TEP(*c.TEP)
		a := vectorKey(t, tep, c.PrivateA)
		b := vectorKey(t, tep, c.PrivateB)
		again := must[*PrivateKey](t)(NewPrivateKey(tep, a.Bytes()))
		equal(t, "public key of the exported and imported private key", again.Public(), a.Public())
		offered := make([]AEAD, len(c.Offered))
		for i, v := range c.Offered {
			offered[i] = AEAD(v)
		}
		m1 := Init1{Ciphers: offered, Nonce: [InitNonceLen]byte(c.NonceA), Public: a.Public()}
		m2 := Init2{Cipher: AEAD(*c.AEAD), Nonce: [InitNonceLen]byte(c.NonceB), Public: b.Public()}
		equal(t, "init1", must[[]byte](t)(m1.Append(nil, tep)), c.Init1)
		equal(t, "init2", must[[]byte](t)(m2.Append(nil, tep)), c.Init2)

		p1 := must[Init1](t)(ParseInit1(tep, c.Init1))
		p2 := must[Init2](t)(ParseInit2(tep, c.Init2))
		if fmt.Sprint(p1) != fmt.Sprint(m1) || fmt.Sprint(p2) != fmt.Sprint(m2) {
			t.Errorf("parsed %v and %v, want %v and %v", p1, p2, m1, m2)
		}
		if err := CheckSelected(p1, p2); err != nil {
			t.Error(err)
		}
		equal(t, "es at A", must[[]byte](t)(a.Shared(p2.Public)), c.ES)
		equal(t, "es at B", must[[]byte](t)(b.Shared(p1.Public)), c.ES)
	})
}

func TestVectorHandshakeGivesBothHostsTheSession(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		tep := TEP(*c.TEP)
		a := vectorKey(t, tep, c.PrivateA)
		b := vectorKey(t, tep, c.PrivateB)
		prefer := []AEAD{AEAD(*c.AEAD)}
		init2, atB, err := AcceptInit1(b, *c.TEP, c.Transcript, c.Init1, prefer, [InitNonceLen]byte(c.NonceB))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "init2", init2, c.Init2)
		atA, err := AcceptInit2(a, *c.TEP, c.Transcript, c.Init1, init2)
		if err != nil {
			t.Fatal(err)
		}
		if atA != atB || atA != vectorSession(t, c) {
			t.Error("the hosts' sessions differ")
		}
	})
}

func TestVectorKeySchedule(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		s := vectorSession(t, c)
		equal(t, "prk", s.Secret[:], c.PRK)
		equal(t, "session id", s.ID[:], c.SessionID)
		if s.TEP != TEP(*c.TEP) || s.AEAD != AEAD(*c.AEAD) {
			t.Errorf("session has %v and %v", s.TEP, s.AEAD)
		}
		ss := s.Secret
		for i, want := range c.SS {
			equal(t, fmt.Sprintf("ss[%d]", i), ss[:], want)
			ss = ss.Next()
		}
		if len(c.KAB) != len(c.MK) || len(c.KBA) != len(c.MK) {
			t.Fatalf("%d master keys, but %d and %d traffic keys", len(c.MK), len(c.KAB), len(c.KBA))
		}
		mk := s.Master
		for j, want := range c.MK {
			equal(t, fmt.Sprintf("mk[%d]", j), mk[:], want)
			equal(t, fmt.Sprintf("k_ab[%d]", j), keyBytes(mk.Traffic(s.AEAD, AB)), c.KAB[j])
			equal(t, fmt.Sprintf("k_ba[%d]", j), keyBytes(mk.Traffic(s.AEAD, BA)), c.KBA[j])
			mk = mk.Next()
		}
	})
}

// frameKey returns the traffic key of a frame of the original session.
func frameKey(t *testing.T, s Session, v vectorFrame) TrafficKey {
	t.Helper()
	if *v.Generation < 0 || *v.Generation > 1000 {
		t.Fatalf("generation %d", *v.Generation)
	}
	mk := s.Master
	for range *v.Generation {
		mk = mk.Next()
	}
	switch *v.Sender {
	case "A":
		return mk.Traffic(s.AEAD, AB)
	case "B":
		return mk.Traffic(s.AEAD, BA)
	}
	t.Fatalf("sender %q", *v.Sender)
	return TrafficKey{}
}

func TestVectorFramesAreSealedAndOpened(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		s := vectorSession(t, c)
		for i, v := range c.Frames {
			key := frameKey(t, s, v)
			nonce := key.Nonce(*v.Offset)
			equal(t, fmt.Sprintf("frame %d: nonce", i), nonce[:], v.Nonce)
			h, err := ParseHeader(v.Frame)
			if err != nil || h.FrameLen() != len(v.Frame) || h.Rekey() != *v.Rekey {
				t.Fatalf("frame %d: header %+v, %v", i, h, err)
			}
			aad := h.AAD()
			equal(t, fmt.Sprintf("frame %d: aad", i), aad[:], v.AAD)

			f := Frame{Rekey: *v.Rekey, Plaintext: Plaintext{FIN: *v.FIN, Data: v.Data}}
			if v.Urgent != nil {
				f.URG, f.Urgent = true, *v.Urgent
			}
			sealed := must[[]byte](t)(Seal(nil, &key, *v.Offset, f))
			equal(t, fmt.Sprintf("frame %d", i), sealed, v.Frame)

			opened, n, err := Open(&key, *v.Offset, v.Frame)
			if err != nil || n != len(v.Frame) {
				t.Fatalf("frame %d: opened %d bytes: %v", i, n, err)
			}
			if fmt.Sprint(opened) != fmt.Sprint(f) {
				t.Errorf("frame %d: opened %v, want %v", i, opened, f)
			}
		}
	})
}

func TestVectorResumedSessions(t *testing.T) {
	forEachVector(t, func(t *testing.T, c vectorCase) {
		s := vectorSession(t, c)
		for _, v := range c.Resumed {
			if *v.I < 1 || *v.I > 1000 {
				t.Fatalf("resumed session %d", *v.I)
			}
			ss := s.Secret
			for range *v.I {
				ss = ss.Next()
			}
			id := ss.ResumeID()
			equal(t, "resume", id[:], v.Resume)
			r, err := ResumeSession(v.SessionID[0], s.AEAD, ss, v.NonceA, v.NonceB)
			if err != nil {
				t.Fatal(err)
			}
			ab, ba := r.Master.Traffic(r.AEAD, AB), r.Master.Traffic(r.AEAD, BA)
			equal(t, "session id", r.ID[:], v.SessionID)
			equal(t, "mk0", r.Master[:], v.MK0)
			equal(t, "k_ab", keyBytes(ab), v.KAB)
			equal(t, "k_ba", keyBytes(ba), v.KBA)

			f := Frame{Plaintext: Plaintext{Data: v.First.Data}}
			equal(t, "first frame", must[[]byte](t)(Seal(nil, &ab, *v.First.Offset, f)), v.First.Frame)
			opened, _, err := Open(&ab, *v.First.Offset, v.First.Frame)
			if err != nil || fmt.Sprint(opened) != fmt.Sprint(f) {
				t.Errorf("first frame: opened %v: %v", opened, err)
			}
		}
	})
}
