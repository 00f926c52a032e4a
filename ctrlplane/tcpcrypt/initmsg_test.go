package tcpcrypt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

func testPublic(t testing.TB, tep TEP) []byte {
	t.Helper()
	s, _ := tep.scheme()
	raw := bytes.Repeat([]byte{3}, s.scalar)
	raw[0] = 0
	k, err := NewPrivateKey(tep, raw)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func testInit1(t testing.TB, tep TEP, ciphers ...AEAD) []byte {
	t.Helper()
	b, err := Init1{Ciphers: ciphers, Nonce: [InitNonceLen]byte{5}, Public: testPublic(t, tep)}.Append(nil, tep)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func testInit2(t testing.TB, tep TEP, cipher AEAD) []byte {
	t.Helper()
	b, err := Init2{Cipher: cipher, Nonce: [InitNonceLen]byte{6}, Public: testPublic(t, tep)}.Append(nil, tep)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withTail returns the message with ignored bytes added and message_len set to match.
func withTail(msg []byte, tail ...byte) []byte {
	b := append(bytes.Clone(msg), tail...)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)))
	return b
}

func TestInitMessagesSurviveEncodingWithEveryTEP(t *testing.T) {
	for _, tep := range TEPs() {
		m1 := Init1{Ciphers: []AEAD{0xffff, AES128GCM}, Nonce: [InitNonceLen]byte{1}, Public: testPublic(t, tep)}
		m2 := Init2{Cipher: AES256GCM, Nonce: [InitNonceLen]byte{2}, Public: testPublic(t, tep)}
		b1, err1 := m1.Append(nil, tep)
		b2, err2 := m2.Append(nil, tep)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if got, err := ParseInit1(tep, b1); err != nil || fmt.Sprint(got) != fmt.Sprint(m1) {
			t.Errorf("%v: init1: %v", tep, err)
		}
		if got, err := ParseInit2(tep, b2); err != nil || fmt.Sprint(got) != fmt.Sprint(m2) {
			t.Errorf("%v: init2: %v", tep, err)
		}
	}
}

func TestMessageLenTellsAReaderWhatToDo(t *testing.T) {
	whole := testInit1(t, ECDHECurve25519, AES128GCM)
	for n := range InitPrefixLen {
		if _, need, err := MessageLen(KindInit1, whole[:n]); !need || err != nil {
			t.Errorf("%d bytes: %v, %v", n, need, err)
		}
	}
	for n := InitPrefixLen; n <= len(whole); n++ {
		if got, need, err := MessageLen(KindInit1, whole[:n]); got != len(whole) || need || err != nil {
			t.Errorf("%d bytes: %d, %v, %v", n, got, need, err)
		}
	}
	if _, _, err := MessageLen(KindInit2, whole[:1]); !errors.Is(err, ErrInitMagic) {
		t.Errorf("first byte of the other message: %v", err)
	}
	for at := range 4 {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x40
		if _, _, err := MessageLen(KindInit1, bad[:at+1]); !errors.Is(err, ErrInitMagic) {
			t.Errorf("wrong magic byte %d: %v", at, err)
		}
	}
	for m, want := range map[uint32]error{0: ErrInitLength, 7: ErrInitLength, 8: nil, MaxInitLen: nil, MaxInitLen + 1: ErrInitLength, 1<<32 - 1: ErrInitLength} {
		prefix := binary.BigEndian.AppendUint32(bytes.Clone(whole[:4]), m)
		if _, need, err := MessageLen(KindInit1, prefix); need || !errors.Is(err, want) {
			t.Errorf("message_len %d: %v", m, err)
		}
	}
}

func TestTruncatedInitMessageIsRefused(t *testing.T) {
	for _, tep := range TEPs() {
		m1, m2 := testInit1(t, tep, AES128GCM, AES256GCM), testInit2(t, tep, AES128GCM)
		for n := range m1 {
			cut := bytes.Clone(m1[:n])
			if _, err := ParseInit1(tep, cut); err == nil {
				t.Fatalf("%v: init1 of %d bytes accepted", tep, n)
			}
			if n < InitPrefixLen {
				continue
			}
			if _, err := ParseInit1(tep, withTail(cut)); !errors.Is(err, ErrInitTruncated) {
				t.Fatalf("%v: init1 with message_len %d: %v", tep, n, err)
			}
		}
		for n := InitPrefixLen; n < len(m2); n++ {
			if _, err := ParseInit2(tep, withTail(m2[:n])); !errors.Is(err, ErrInitTruncated) {
				t.Fatalf("%v: init2 with message_len %d: %v", tep, n, err)
			}
		}
	}
}

func TestBytesAfterThePublicKeyAreIgnoredButPartOfTheTranscript(t *testing.T) {
	m1, m2 := testInit1(t, ECDHEP256, AES128GCM), testInit2(t, ECDHEP256, AES128GCM)
	t1, t2 := withTail(m1, 1, 2, 3), withTail(m2, 4)
	p, err := ParseInit1(ECDHEP256, t1)
	if err != nil || !bytes.Equal(p.Public, testPublic(t, ECDHEP256)) {
		t.Fatalf("init1: %v", err)
	}
	if _, err := ParseInit2(ECDHEP256, t2); err != nil {
		t.Fatalf("init2: %v", err)
	}
	ids := map[SessionID]bool{}
	for _, pair := range [][2][]byte{{m1, m2}, {t1, m2}, {m1, t2}} {
		s, err := NewSession(byte(ECDHEP256), nil, pair[0], pair[1], []byte{1})
		if err != nil {
			t.Fatal(err)
		}
		ids[s.ID] = true
	}
	if len(ids) != 3 {
		t.Error("ignored bytes do not change the session")
	}
}

func TestInitMessageIsRefused(t *testing.T) {
	m1 := testInit1(t, ECDHEP256, AES128GCM)
	edit := func(at int, b ...byte) []byte {
		c := bytes.Clone(m1)
		copy(c[at:], b)
		return c
	}
	const pubAt = InitPrefixLen + 1 + 2 + InitNonceLen
	for name, c := range map[string]struct {
		msg  []byte
		want error
	}{
		"wrong magic":               {edit(0, 0), ErrInitMagic},
		"nciphers 0":                {edit(8, 0), ErrInitNoCiphers},
		"more ciphers than message": {edit(8, 255), ErrInitTruncated},
		"pubkey_len 65":             {edit(pubAt, 0, 65), ErrInitPublicKey},
		"pubkey_len 0":              {edit(pubAt, 0, 0), ErrInitPublicKey},
		"message_len too small":     {edit(4, 0, 0, 0, 40), ErrInitLength},
		"message_len too large":     {edit(4, 0, 0, 0, 200), ErrInitTruncated},
		"empty":                     {nil, ErrInitTruncated},
	} {
		if _, err := ParseInit1(ECDHEP256, c.msg); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := ParseInit1(0x25, m1); !errors.Is(err, ErrTEP) {
		t.Errorf("unknown TEP: %v", err)
	}
}

func TestInitMessageIsNotMadeOfBadParts(t *testing.T) {
	public := testPublic(t, ECDHEP256)
	for name, c := range map[string]struct {
		m    Init1
		want error
	}{
		"no cipher":        {Init1{Public: public}, ErrInitNoCiphers},
		"too many ciphers": {Init1{Ciphers: make([]AEAD, 256), Public: public}, ErrInitLength},
		"short key":        {Init1{Ciphers: AEADs(), Public: public[:34]}, ErrInitTruncated},
		"long key":         {Init1{Ciphers: AEADs(), Public: append(bytes.Clone(public), 0)}, ErrInitPublicKey},
	} {
		if b, err := c.m.Append([]byte{1}, ECDHEP256); !errors.Is(err, c.want) || len(b) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Init2{Public: public[1:]}).Append(nil, ECDHEP256); err == nil {
		t.Error("init2 with a short key is made")
	}
}

func TestHostBSelectsByItsOwnPreference(t *testing.T) {
	for _, c := range []struct {
		prefer, offered []AEAD
		want            AEAD
		err             error
	}{
		{[]AEAD{AES256GCM, AES128GCM}, []AEAD{AES128GCM, AES256GCM}, AES256GCM, nil},
		{[]AEAD{ChaCha20Poly1305, AES128GCM}, []AEAD{AES128GCM, AES256GCM}, AES128GCM, nil},
		{[]AEAD{AES128GCM}, []AEAD{0x1234, AES128GCM}, AES128GCM, nil},
		{[]AEAD{AES128GCM}, []AEAD{AES256GCM}, 0, ErrNoCommonAEAD},
		{[]AEAD{0x1234}, []AEAD{0x1234}, 0, ErrNoCommonAEAD},
		{nil, AEADs(), 0, ErrNoCommonAEAD},
	} {
		if got, err := SelectCipher(c.prefer, c.offered); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%v of %v: got %v, %v", c.prefer, c.offered, got, err)
		}
	}
}

func TestHostARefusesACipherItDidNotOffer(t *testing.T) {
	sent := Init1{Ciphers: []AEAD{AES128GCM, 0x1234}}
	if err := CheckSelected(sent, Init2{Cipher: AES128GCM}); err != nil {
		t.Error(err)
	}
	if err := CheckSelected(sent, Init2{Cipher: AES256GCM}); !errors.Is(err, ErrNotOfferedAEAD) {
		t.Error(err)
	}
	if err := CheckSelected(sent, Init2{Cipher: 0x1234}); !errors.Is(err, ErrAEAD) {
		t.Error(err)
	}
}

func FuzzInit1(f *testing.F) {
	for _, tep := range TEPs() {
		f.Add(uint8(tep), testInit1(f, tep, AEADs()...))
	}
	f.Add(uint8(0), []byte{0x15, 0x10})
	f.Fuzz(func(t *testing.T, id uint8, msg []byte) {
		tep := TEP(id)
		m, err := ParseInit1(tep, msg)
		if err != nil {
			return
		}
		again, err := m.Append(nil, tep)
		if err != nil || len(again) > len(msg) || !bytes.Equal(again[InitPrefixLen:], msg[InitPrefixLen:len(again)]) {
			t.Fatalf("%x encodes again as %x, %v", msg, again, err)
		}
	})
}

func FuzzInit2(f *testing.F) {
	for _, tep := range TEPs() {
		f.Add(uint8(tep), testInit2(f, tep, AES128GCM))
	}
	f.Add(uint8(0), []byte{0x09, 0x71})
	f.Fuzz(func(t *testing.T, id uint8, msg []byte) {
		tep := TEP(id)
		m, err := ParseInit2(tep, msg)
		if err != nil {
			return
		}
		again, err := m.Append(nil, tep)
		if err != nil || len(again) > len(msg) || !bytes.Equal(again[InitPrefixLen:], msg[InitPrefixLen:len(again)]) {
			t.Fatalf("%x encodes again as %x, %v", msg, again, err)
		}
	})
}
