package tcpcrypt

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"testing"
	"unsafe"
)

func TestRekeyingWithoutAllocationEqualsHKDF(t *testing.T) {
	for range 50 {
		var mk MasterKey
		if _, err := rand.Read(mk[:]); err != nil {
			t.Fatal(err)
		}
		expand := func(label string, n int) []byte {
			b, err := hkdf.Expand(sha256.New, mk[:], label, n)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		if next := mk.Next(); !bytes.Equal(next[:], expand("\x03", 32)) {
			t.Fatal("next master key differs")
		}
		for _, aead := range AEADs() {
			for d, label := range map[Direction]string{AB: "\x04", BA: "\x05"} {
				k := mk.Traffic(aead, d)
				want := expand(label, aead.KeyLen()+NonceLen)
				if got := append(bytes.Clone(k.Key[:k.KeyLen]), k.NR[:]...); !bytes.Equal(got, want) || k.AEAD != aead {
					t.Fatalf("%v %v: %x, want %x", aead, d, got, want)
				}
			}
		}
	}
}

func TestTrafficKeyForAnUnknownAEADIsZero(t *testing.T) {
	mk := MasterKey{1}
	if k := mk.Traffic(0x1234, AB); k != (TrafficKey{}) {
		t.Errorf("got a key for %v", k.AEAD)
	}
}

func TestKeysHaveNoPaddingThatMightLeak(t *testing.T) {
	if n := unsafe.Sizeof(TrafficKey{}); n != 48 {
		t.Errorf("traffic key has %d bytes", n)
	}
}

func TestWipeErases(t *testing.T) {
	s := Session{ID: SessionID{1}, Secret: Secret{1}, Master: MasterKey{1}}
	k := s.Master.Traffic(AES128GCM, AB)
	s.Wipe()
	k.Wipe()
	if s.Secret != (Secret{}) || s.Master != (MasterKey{}) || k != (TrafficKey{}) || s.ID != (SessionID{1}) {
		t.Error("secrets left")
	}
}

func TestSessionIDBeginsWithTheByteHostBSent(t *testing.T) {
	s, err := ResumeSession(0xa3, AES128GCM, Secret{1}, nil, nil)
	if err != nil || s.ID[0] != 0xa3 || s.TEP != ECDHECurve25519 || s.ID.String()[:2] != "a3" || len(s.ID.String()) != 2*SessionIDLen {
		t.Errorf("got %v, %v", s.ID, err)
	}
}

func TestEitherResumptionNonceChangesTheSession(t *testing.T) {
	seen := map[SessionID]bool{}
	for _, n := range [][2]string{{"", ""}, {"a", ""}, {"b", ""}, {"ab", "c"}, {"abcdefgh", "ijklmnop"}} {
		s, err := ResumeSession(0xa3, AES128GCM, Secret{1}, []byte(n[0]), []byte(n[1]))
		if err != nil || seen[s.ID] {
			t.Errorf("%q: %v", n, err)
		}
		seen[s.ID] = true
	}
}

func TestBadResumptionIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		tepByte byte
		aead    AEAD
		a, b    int
		want    error
	}{
		"unknown TEP":    {0xa5, AES128GCM, 8, 8, ErrTEP},
		"unknown AEAD":   {0xa3, 3, 8, 8, ErrAEAD},
		"long nonce a":   {0xa3, AES128GCM, 9, 8, ErrResumeNonce},
		"long nonce b":   {0xa3, AES128GCM, 8, 9, ErrResumeNonce},
		"no TEP at all":  {0, AES128GCM, 0, 0, ErrTEP},
		"longest nonces": {0xa3, AES128GCM, 8, 8, nil},
	} {
		if _, err := ResumeSession(c.tepByte, c.aead, Secret{1}, make([]byte, c.a), make([]byte, c.b)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

func TestHandshakeAbortsOnWhatThePeerGotWrong(t *testing.T) {
	a, b := generated(t, ECDHECurve25519), generated(t, ECDHECurve25519)
	const tepByte = byte(ECDHECurve25519)
	init1, err := Init1{Ciphers: []AEAD{AES128GCM}, Public: a.Public()}.Append(nil, a.TEP())
	if err != nil {
		t.Fatal(err)
	}
	zero1, err := Init1{Ciphers: []AEAD{AES128GCM}, Public: make([]byte, 32)}.Append(nil, a.TEP())
	if err != nil {
		t.Fatal(err)
	}
	other2, err := Init2{Cipher: AES256GCM, Public: b.Public()}.Append(nil, b.TEP())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := AcceptInit1(b, tepByte, nil, init1, []AEAD{AES256GCM}, [32]byte{}); !errors.Is(err, ErrNoCommonAEAD) {
		t.Errorf("no common AEAD: %v", err)
	}
	if _, _, err := AcceptInit1(b, tepByte, nil, zero1, AEADs(), [32]byte{}); !errors.Is(err, ErrPublicKey) {
		t.Errorf("public key zero: %v", err)
	}
	if _, _, err := AcceptInit1(b, tepByte+1, nil, init1, AEADs(), [32]byte{}); !errors.Is(err, ErrTEP) {
		t.Errorf("key of another TEP: %v", err)
	}
	if _, err := AcceptInit2(a, tepByte, nil, init1, other2); !errors.Is(err, ErrNotOfferedAEAD) {
		t.Errorf("cipher not offered: %v", err)
	}
	if _, err := AcceptInit2(a, tepByte, nil, init1, init1); !errors.Is(err, ErrInitMagic) {
		t.Errorf("init1 echoed: %v", err)
	}
}

func TestAlteredTranscriptGivesAnotherSession(t *testing.T) {
	m1, m2 := testInit1(t, ECDHECurve25519, AES128GCM), testInit2(t, ECDHECurve25519, AES128GCM)
	one, err1 := NewSession(0x23, []byte{69, 3, 0x23, 69, 4, 1, 0x23}, m1, m2, []byte{1})
	two, err2 := NewSession(0x23, []byte{69, 3, 0x23, 69, 4, 5, 0x23}, m1, m2, []byte{1})
	if err1 != nil || err2 != nil || one.ID == two.ID || one.Master == two.Master {
		t.Errorf("tampering goes unnoticed: %v, %v", err1, err2)
	}
}
