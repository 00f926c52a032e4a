package message

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"linecrypt/flowtable"
)

func examples() []Message {
	id := ID{0: 0x23, 32: 9}
	tuple := flowtable.Key{Inside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Outside: [16]byte{15: 2}, InsidePort: 1000, OutsidePort: 443}
	return []Message{
		{Kind: Hello, Version: Version, Nonce: [16]byte{1, 2, 15: 3}},
		{Kind: Tell, ID: id, Role: flowtable.RoleB, Tuple: tuple},
		{Kind: Have, ID: id}, {Kind: Lack, ID: id}, {Kind: Gone, ID: id}, {Kind: Ping},
	}
}

func TestMessagesComeOutAsTheyWentIn(t *testing.T) {
	var stream []byte
	for _, m := range examples() {
		stream = m.Append(stream)
	}
	r := bytes.NewReader(stream)
	for _, want := range examples() {
		var got Message
		if err := got.Read(r); err != nil || got != want {
			t.Errorf("%v: %+v, %v", want.Kind, got, err)
		}
	}
	var m Message
	if err := m.Read(r); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if len(examples()) != int(endKinds)-1 {
		t.Error("a kind has no example")
	}
}

func TestWhatIsNoMessageIsRefused(t *testing.T) {
	tell := examples()[1]
	good := tell.Append(nil)
	badRole := bytes.Clone(good)
	badRole[3] = 3
	for name, b := range map[string][]byte{
		"empty": {0, 0}, "no kind": {0, 1, 0}, "unknown kind": {0, 1, byte(endKinds)}, "too long": {0xff, 0xff},
		"too short for its kind": append([]byte{0, 2}, good[2:4]...), "a ping with a body": {0, 2, byte(Ping), 0}, "bad role": badRole,
	} {
		var m Message
		if err := m.Read(bytes.NewReader(b)); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := 1; n < len(good); n++ {
		var m Message
		if err := m.Read(bytes.NewReader(good[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

func TestEveryKindHasAName(t *testing.T) {
	for k := Kind(1); k < endKinds; k++ {
		if k.String() == "invalid" || k.String() == "" {
			t.Errorf("kind %d", k)
		}
	}
	if endKinds.String() != "invalid" || Kind(0).String() != "invalid" {
		t.Error("a kind that does not exist has a name")
	}
}

func FuzzMessages(f *testing.F) {
	var all []byte
	for _, m := range examples() {
		f.Add(m.Append(nil))
		all = m.Append(all)
	}
	f.Add(all)
	f.Add([]byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, at := bytes.NewReader(b), 0
		for {
			var m Message
			if err := m.Read(r); err != nil {
				if !errors.Is(err, ErrMessage) && err != io.EOF && err != io.ErrUnexpectedEOF {
					t.Fatal(err)
				}
				return
			}
			end := len(b) - r.Len()
			if again := m.Append(nil); !bytes.Equal(again, b[at:end]) {
				t.Fatalf("%x becomes %x", b[at:end], again)
			}
			at = end
		}
	})
}
