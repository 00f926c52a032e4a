package wire

import (
	"errors"
	"testing"
)

func TestRequestsComeOutAsTheyWentIn(t *testing.T) {
	for v := State; v < endVerbs; v++ {
		q := Request{Verb: v, Local: Endpoint{[16]byte{1, 15: 2}, 3}, Remote: Endpoint{[16]byte{4, 15: 5}, 0xfffe}, VLAN: AnyVLAN, Token: 7}
		b := q.Encode()
		var got Request
		if err := got.Decode(b[:]); err != nil || got != q {
			t.Errorf("%+v: %v", got, err)
		}
	}
}

func TestAnswersComeOutAsTheyWentInAndHaveNames(t *testing.T) {
	seen := map[string]bool{endAnswers.String(): true}
	for a := range endAnswers {
		b := EncodeReply(a)
		if got, err := DecodeReply(b[:]); err != nil || got != a || seen[a.String()] {
			t.Errorf("%v: %v, %v", a, got, err)
		}
		seen[a.String()] = true
	}
}

func TestMalformedMessagesAreRefused(t *testing.T) {
	good := (&Request{Verb: State}).Encode()
	for name, change := range map[string]func(b []byte) []byte{
		"short":    func(b []byte) []byte { return b[:RequestSize-1] },
		"long":     func(b []byte) []byte { return append(b, 0) },
		"version":  func(b []byte) []byte { b[0]++; return b },
		"verb":     func(b []byte) []byte { b[1] = byte(endVerbs); return b },
		"no verb":  func(b []byte) []byte { b[1] = 0; return b },
		"reserved": func(b []byte) []byte { b[55] = 1; return b },
		"empty":    func(b []byte) []byte { return nil },
	} {
		var q Request
		if err := q.Decode(change(append([]byte(nil), good[:]...))); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	reply := EncodeReply(Done)
	reply[1] = byte(endAnswers)
	if _, err := DecodeReply(reply[:]); !errors.Is(err, ErrMessage) {
		t.Errorf("unknown answer: %v", err)
	}
	if _, err := DecodeReply(reply[:3]); !errors.Is(err, ErrMessage) {
		t.Errorf("short answer: %v", err)
	}
}

func FuzzRequest(f *testing.F) {
	good := (&Request{Verb: SetAware, Token: 9}).Encode()
	f.Add(good[:])
	f.Fuzz(func(t *testing.T, b []byte) {
		var q Request
		if q.Decode(b) != nil {
			return
		}
		if again := q.Encode(); string(again[:]) != string(b) {
			t.Fatalf("% x became % x", b, again)
		}
	})
}
