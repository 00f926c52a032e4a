package tcpcrypt

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
)

func testKey(aead AEAD) TrafficKey {
	mk := MasterKey{1, 2, 3}
	return mk.Traffic(aead, AB)
}

func TestFrameSurvivesSealAndOpenWithEveryAEAD(t *testing.T) {
	for _, aead := range AEADs() {
		key := testKey(aead)
		for _, f := range []Frame{
			{Plaintext: Plaintext{Data: []byte("x")}},
			{Plaintext: Plaintext{Data: []byte{}}},
			{Rekey: true, Plaintext: Plaintext{Data: []byte{}}},
			{Plaintext: Plaintext{FIN: true, Data: []byte("end")}},
			{Plaintext: Plaintext{URG: true, Urgent: 0xabcd, Data: []byte("urgent")}},
			{Plaintext: Plaintext{URG: true, Data: []byte{}}},
			{Rekey: true, Plaintext: Plaintext{FIN: true, URG: true, Urgent: 1, Data: []byte{7}}},
			{Cres: 0xfe, Fres: 0xfc, Plaintext: Plaintext{Data: []byte("reserved bits")}},
			{Plaintext: Plaintext{Data: make([]byte, MaxData)}},
		} {
			sealed, err := Seal([]byte{9, 9}, &key, 1<<40, f)
			if err != nil {
				t.Fatal(err)
			}
			if want := 2 + Overhead + len(f.Data) + f.PrefixLen() - FlagsLen; len(sealed) != want {
				t.Errorf("%v: %d bytes, want %d", aead, len(sealed), want)
			}
			got, n, err := Open(&key, 1<<40, append(sealed[2:], 1, 2, 3))
			if err != nil || n != len(sealed)-2 || fmt.Sprint(got) != fmt.Sprint(f) {
				t.Errorf("%v: opened %d bytes: %v", aead, n, err)
			}
		}
	}
}

func TestTamperedFrameFailsAuthentication(t *testing.T) {
	for _, aead := range AEADs() {
		key := testKey(aead)
		sealed, err := Seal(nil, &key, 77, Frame{Plaintext: Plaintext{Data: []byte("data")}})
		if err != nil {
			t.Fatal(err)
		}
		for bit := range 8 * len(sealed) {
			if at := bit / 8; at == 1 || at == 2 {
				continue // the length: another frame altogether
			}
			bad := bytes.Clone(sealed)
			bad[bit/8] ^= 1 << (bit % 8)
			if _, _, err := Open(&key, 77, bad); !errors.Is(err, ErrAuthentication) {
				t.Errorf("%v: bit %d: %v", aead, bit, err)
			}
		}
		if _, _, err := Open(&key, 78, sealed); !errors.Is(err, ErrAuthentication) {
			t.Errorf("%v: opened at another offset: %v", aead, err)
		}
	}
}

func TestFrameThatCannotBeIsRefused(t *testing.T) {
	key := testKey(AES128GCM)
	for name, c := range map[string]struct {
		frame []byte
		want  error
	}{
		"empty":         {nil, ErrShortHeader},
		"two bytes":     {[]byte{0, 0}, ErrShortHeader},
		"clen 0":        {[]byte{0, 0, 0}, ErrShortClen},
		"clen 16":       {append([]byte{0, 0, 16}, make([]byte, 16)...), ErrShortClen},
		"cut short":     {append([]byte{0, 0, 17}, make([]byte, 16)...), ErrShortFrame},
		"not authentic": {append([]byte{0, 0, 17}, make([]byte, 17)...), ErrAuthentication},
	} {
		if _, _, err := Open(&key, 0, c.frame); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := Seal(nil, &key, 0, Frame{Plaintext: Plaintext{Data: make([]byte, MaxData+1)}}); !errors.Is(err, ErrFrameTooLong) {
		t.Errorf("too much data: %v", err)
	}
	if _, err := Seal(nil, &TrafficKey{}, 0, Frame{}); !errors.Is(err, ErrAEAD) {
		t.Errorf("zero key: %v", err)
	}
}

func TestURGpWithoutAnUrgentFieldIsRefused(t *testing.T) {
	for _, p := range [][]byte{{FlagURG}, {FlagURG | FlagFIN, 0}} {
		if _, err := ParsePlaintext(p); !errors.Is(err, ErrShortUrgent) {
			t.Errorf("%x: %v", p, err)
		}
	}
	if p, err := ParsePlaintext([]byte{FlagURG, 1, 2}); err != nil || p.Urgent != 0x102 || len(p.Data) != 0 {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := ParsePlaintext(nil); !errors.Is(err, ErrShortPlaintext) {
		t.Errorf("empty plaintext: %v", err)
	}
}

func TestReservedBitsAreIgnoredWhenReceivedAndZeroWhenSent(t *testing.T) {
	for control := range 256 {
		h, err := ParseHeader([]byte{byte(control), 1, 2})
		if err != nil || h.Rekey() != (control&1 == 1) || h.Clen != 0x102 || h.AAD() != [3]byte{byte(control), 1, 2} {
			t.Fatalf("control 0x%02x: %+v, %v", control, h, err)
		}
	}
	for flags := range 256 {
		p, err := ParsePlaintext([]byte{byte(flags), 5, 6, 7})
		if err != nil || p.FIN != (flags&1 == 1) || p.URG != (flags&2 == 2) {
			t.Fatalf("flags 0x%02x: %+v, %v", flags, p, err)
		}
	}
	if h, ok := NewHeader(1, true); !ok || h.Control != 1 {
		t.Errorf("rekey sends control 0x%02x", h.Control)
	}
	all := Plaintext{FIN: true, URG: true}
	if got := all.AppendPrefix(nil); got[0] != 3 {
		t.Errorf("all flags send 0x%02x", got[0])
	}
}

func TestHeaderLengthsAreBounded(t *testing.T) {
	for plain, want := range map[int]bool{-1: false, 0: false, 1: true, MaxClen - TagLen: true, MaxClen - TagLen + 1: false, 1 << 40: false} {
		h, ok := NewHeader(plain, false)
		if ok != want || ok && (h.PlainLen() != plain || h.FrameLen() != HeaderLen+plain+TagLen) {
			t.Errorf("plaintext of %d bytes: %+v, %v", plain, h, ok)
		}
	}
}

func TestNonceIsOffsetXorRandomizer(t *testing.T) {
	nr := [NonceLen]byte{0xa0, 0xa1, 0xa2, 0xa3, 0xff, 0, 0, 0, 0, 0, 0, 1}
	want := [NonceLen]byte{0xa0, 0xa1, 0xa2, 0xa3, 0xfe, 2, 3, 4, 5, 6, 7, 9}
	if got := Nonce(nr, 0x0102030405060708); got != want {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestPacketPathDoesNotAllocate(t *testing.T) {
	key := testKey(AES256GCM)
	mk := MasterKey{7}
	buf := make([]byte, 0, 64)
	var aad [HeaderLen]byte
	var nonce [NonceLen]byte
	if n := testing.AllocsPerRun(100, func() {
		h, _ := NewHeader(10, true)
		b := h.Append(buf)
		h, err := ParseHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		h.Put(b)
		aad, nonce = h.AAD(), key.Nonce(99)
		b = Plaintext{URG: true, Data: b}.Append(buf[3:3])
		if _, err := ParsePlaintext(b); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseHeader(b[:2]); err == nil {
			t.Fatal("short header accepted")
		}
		mk = mk.Next()
		key = mk.Traffic(ChaCha20Poly1305, BA)
		key.Wipe()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	_, _ = aad, nonce
}

func FuzzFrame(f *testing.F) {
	key := testKey(AES128GCM)
	for _, fr := range []Frame{{Plaintext: Plaintext{Data: []byte("a")}}, {Rekey: true}, {Plaintext: Plaintext{URG: true, FIN: true}}} {
		b, err := Seal(nil, &key, 5, fr)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0, 0, 16})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader(b)
		if err != nil {
			return
		}
		if h.PlainLen() < FlagsLen || !bytes.Equal(h.Append(nil), b[:HeaderLen]) {
			t.Fatalf("header %+v of %x", h, b[:HeaderLen])
		}
		if fr, n, err := Open(&key, 5, b); err == nil {
			again, err := Seal(nil, &key, 5, fr)
			if err != nil || !bytes.Equal(again, b[:n]) {
				t.Fatalf("%x opened and sealed again is %x, %v", b[:n], again, err)
			}
		}
		p, err := ParsePlaintext(b[HeaderLen:])
		if err != nil {
			return
		}
		again := p.Append(nil)
		again[0] |= b[HeaderLen] &^ (FlagFIN | FlagURG)
		if !bytes.Equal(again, b[HeaderLen:]) {
			t.Fatalf("plaintext %x encodes again as %x", b[HeaderLen:], again)
		}
	})
}
