package shm

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"linecrypt/flowtable"
)

func fill(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

var (
	testRef   = FlowRef{Worker: 3, Index: 77, Gen: 0xfffffffe}
	testTuple = flowtable.Key{Inside: [16]byte{1, 15: 2}, Outside: [16]byte{3, 15: 4}, InsidePort: 5, OutsidePort: 443, VLAN: 7}
)

func requests() []Request {
	base := Request{Ref: testRef, Seq: 9, Tuple: testTuple, Rule: flowtable.NewRuleRef(513, 77)}
	all := make([]Request, 6)
	for i := range all {
		all[i] = base
		all[i].Kind = ActiveAnswer + RequestKind(i)
	}
	all[0].ENOA, all[0].ENOB = fill(2, 1), fill(MaxENO, 2)
	all[1].ENOA, all[1].ENOB, all[1].Secret, all[1].Init1, all[1].Init2 = fill(6, 1), fill(7, 2), fill(MaxSecret, 3), fill(74, 4), fill(MaxInit, 5)
	all[2].ENOA, all[2].ENOB, all[2].Init1 = fill(6, 1), fill(7, 2), fill(MaxInit, 4)
	all[2].Again = true
	all[3].ENOA, all[3].ENOB, all[3].Resume = fill(20, 1), fill(21, 2), 1<<12|7
	all[4] = all[3]
	all[4].Kind, all[4].Resume, all[4].Again = PassiveResume, 1<<31, true
	all[5].Reason = ReasonAuthentication
	return all
}

func replies() []Reply {
	all := make([]Reply, 6)
	for i := range 5 {
		all[i] = Reply{Kind: Pass + ReplyKind(i), Ref: testRef, Seq: 10}
	}
	all[0].Reason, all[1].Reason, all[4].Reason = ReasonPolicy, ReasonNoTEP, ReasonBadKey
	all[2].Init, all[2].Secret, all[2].TEP = fill(74, 2), fill(300, 3), 0x23
	all[3].Role, all[3].TEP, all[3].AEAD = 1, 0x23, 0x10
	all[3].Keys = KeyBlock{Master: [32]byte(fill(32, 4)), Out: [44]byte(fill(44, 5)), In: [44]byte(fill(44, 6)), SessionID: [33]byte(fill(33, 7))}
	all[5] = all[3]
	all[5].Role, all[5].Init, all[5].Resumed, all[5].Hold = 2, fill(MaxInit, 8), true, true
	all[5].SendsBA = true
	return all
}

func normal[T any](m T) T {
	v := reflect.ValueOf(&m).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Slice && f.Len() == 0 {
			f.SetZero()
		}
	}
	return m
}

func TestMessagesComeOutAsTheyWentIn(t *testing.T) {
	for _, m := range requests() {
		b := make([]byte, m.Size())
		if n, err := m.Encode(b); err != nil || n != len(b) || n > MaxMessage {
			t.Fatalf("%v: %d bytes: %v", m.Kind, n, err)
		}
		var got Request
		if err := got.Decode(b); err != nil || !reflect.DeepEqual(normal(got), normal(m)) {
			t.Errorf("%v: %v: %+v", m.Kind, err, got)
		}
	}
	for _, m := range replies() {
		b := make([]byte, m.Size())
		if n, err := m.Encode(b); err != nil || n != len(b) || n > MaxMessage {
			t.Fatalf("%v: %d bytes: %v", m.Kind, n, err)
		}
		var got Reply
		if err := got.Decode(b); err != nil || !reflect.DeepEqual(normal(got), normal(m)) {
			t.Errorf("%v: %v: %+v", m.Kind, err, got)
		}
	}
}

func TestTruncatedOrExtendedMessagesAreRefused(t *testing.T) {
	for _, m := range requests() {
		b := make([]byte, m.Size()+1)
		n, _ := m.Encode(b)
		for _, k := range []int{0, 1, 16, requestFixed - 1, n - 1, n + 1} {
			var got Request
			if err := got.Decode(b[:k]); !errors.Is(err, ErrMessage) {
				t.Errorf("%v: %d of %d bytes: %v", m.Kind, k, n, err)
			}
		}
		if _, err := m.Encode(b[:n-1]); !errors.Is(err, ErrRoom) {
			t.Errorf("%v: encoded into too little: %v", m.Kind, err)
		}
	}
	for _, m := range replies() {
		b := make([]byte, m.Size()+1)
		n, _ := m.Encode(b)
		for _, k := range []int{0, 1, 16, replyFixed - 1, n - 1, n + 1} {
			var got Reply
			if err := got.Decode(b[:k]); !errors.Is(err, ErrMessage) {
				t.Errorf("%v: %d of %d bytes: %v", m.Kind, k, n, err)
			}
		}
		if _, err := m.Encode(b[:n-1]); !errors.Is(err, ErrRoom) {
			t.Errorf("%v: encoded into too little: %v", m.Kind, err)
		}
	}
}

func TestFieldsOfOtherKindsAreRefused(t *testing.T) {
	bad := []Request{
		{}, {Kind: endRequests}, {Kind: Closed, Reason: NumReasons},
		{Kind: Closed, ENOA: fill(4, 1)}, {Kind: ActiveAnswer}, {Kind: ActiveAnswer, ENOA: fill(4, 1)},
		{Kind: ActiveAnswer, ENOA: fill(MaxENO+1, 1), ENOB: fill(4, 1)}, {Kind: ActiveAnswer, ENOA: fill(4, 1), ENOB: fill(1, 1)},
		{Kind: ActiveAnswer, ENOA: fill(4, 1), ENOB: fill(4, 1), Init1: fill(20, 1)}, {Kind: Closed, Init1: fill(20, 1)},
		{Kind: PassiveKeys, ENOA: fill(4, 1), ENOB: fill(4, 1), Init1: fill(MaxInit+1, 1)},
		{Kind: PassiveResume, ENOA: fill(4, 1), ENOB: fill(4, 1)}, {Kind: PassiveKeys, ENOA: fill(4, 1), ENOB: fill(4, 1), Init1: fill(20, 1), Resume: 1},
	}
	for i, m := range bad {
		if _, err := m.Encode(make([]byte, MaxMessage)); !errors.Is(err, ErrMessage) {
			t.Errorf("request %d: %v", i, err)
		}
	}
	badReplies := []Reply{
		{}, {Kind: endReplies}, {Kind: Pass, Reason: NumReasons}, {Kind: Keys}, {Kind: Keys, Role: 3},
		{Kind: Pass, Secret: fill(4, 1)}, {Kind: Abort, Init: fill(9, 1)}, {Kind: Init1, Init: fill(9, 1)},
		{Kind: Init1, Secret: fill(4, 1)}, {Kind: Keys, Role: 1, Init: fill(3, 1)}, {Kind: Keys, Role: 1, Secret: fill(4, 1)},
		{Kind: Pass, Resumed: true}, {Kind: Abort, Hold: true}, {Kind: Init1, SendsBA: true},
	}
	for i, m := range badReplies {
		if _, err := m.Encode(make([]byte, MaxMessage)); !errors.Is(err, ErrMessage) {
			t.Errorf("reply %d: %v", i, err)
		}
	}
}

func TestReservedFlagsOfRepliesAreRefused(t *testing.T) {
	m := Reply{Kind: Keys, Role: 1, Resumed: true}
	b := make([]byte, m.Size())
	if _, err := m.Encode(b); err != nil {
		t.Fatal(err)
	}
	b[20] |= replyFlags
	if err := m.Decode(b); !errors.Is(err, ErrMessage) {
		t.Errorf("decoded: %v", err)
	}
}

func TestEveryCodeHasAName(t *testing.T) {
	seen := map[string]bool{"invalid": true, "": true}
	check := func(s string) {
		if seen[s] {
			t.Errorf("name %q", s)
		}
		seen[s] = true
	}
	for r := range NumReasons {
		check(r.String())
	}
	clear(seen)
	seen["invalid"], seen[""] = true, true
	for k := RequestKind(1); k < endRequests; k++ {
		check(k.String())
	}
	for k := ReplyKind(1); k < endReplies; k++ {
		check(k.String())
	}
	for k := OrderKind(firstOrder); k < endOrders; k++ {
		check(k.String())
	}
	for _, s := range []string{endOrders.String(), NumReasons.String(), endRequests.String(), endReplies.String(), flowtable.Policy(99).String(), NumStages.String(), endKinds.String()} {
		if s != "invalid" {
			t.Errorf("a code that does not exist is %q", s)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, m := range requests() {
		b := make([]byte, m.Size())
		_, _ = m.Encode(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Request
		if err := m.Decode(b); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, m.Size())
		if _, err := m.Encode(again); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded again it differs: %v", err)
		}
	})
}

func FuzzReply(f *testing.F) {
	for _, m := range replies() {
		b := make([]byte, m.Size())
		_, _ = m.Encode(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Reply
		if err := m.Decode(b); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, m.Size())
		if n, err := m.Encode(again); err != nil || n != len(b) {
			t.Fatalf("%d bytes again: %v", n, err)
		}
	})
}
