package shm

import (
	"bytes"
	"errors"
	"testing"
)

func orders() []Order {
	return []Order{
		{Kind: Rekey, Ref: testRef, Tuple: testTuple},
		{Kind: Kill, Reason: ReasonOrdered, Ref: testRef, Tuple: testTuple},
		{Kind: Confirm, Ref: testRef, Tuple: testTuple},
	}
}

func TestOrdersComeOutAsTheyWentIn(t *testing.T) {
	for _, m := range orders() {
		b := make([]byte, OrderSize+1)
		n, err := m.Encode(b)
		if err != nil || n != OrderSize || !IsOrder(b) {
			t.Fatalf("%v: %d bytes: %v", m.Kind, n, err)
		}
		var got Order
		if err := got.Decode(b[:n]); err != nil || got != m {
			t.Errorf("%v: %v: %+v", m.Kind, err, got)
		}
		for _, bad := range [][]byte{nil, b[:n-1], b} {
			if err := got.Decode(bad); !errors.Is(err, ErrMessage) {
				t.Errorf("%v in %d bytes: %v", m.Kind, len(bad), err)
			}
		}
		if _, err := m.Encode(b[:n-1]); !errors.Is(err, ErrRoom) {
			t.Errorf("%v into too little: %v", m.Kind, err)
		}
		b[12] = 1
		if err := got.Decode(b[:n]); !errors.Is(err, ErrMessage) {
			t.Errorf("%v with reserved bytes in use: %v", m.Kind, err)
		}
	}
}

func TestOrdersThatMakeNoSenseAreRefused(t *testing.T) {
	for _, m := range []Order{{}, {Kind: endOrders, Reason: ReasonOrdered}, {Kind: 1}, {Kind: Kill}, {Kind: Kill, Reason: NumReasons}, {Kind: Rekey, Reason: ReasonOrdered}} {
		if _, err := m.Encode(make([]byte, OrderSize)); !errors.Is(err, ErrMessage) {
			t.Errorf("%+v: %v", m, err)
		}
	}
}

func TestNoReplyIsTakenForAnOrder(t *testing.T) {
	for k := ReplyKind(0); k < endReplies; k++ {
		if IsOrder([]byte{byte(k)}) {
			t.Errorf("%v", k)
		}
	}
	if IsOrder(nil) {
		t.Error("nothing is an order")
	}
	var m Reply
	b := make([]byte, OrderSize)
	if _, err := orders()[0].encode(b); err != nil || m.Decode(b) == nil {
		t.Error("an order is read as a reply")
	}
}

func (m Order) encode(b []byte) (int, error) { return m.Encode(b) }

func FuzzOrder(f *testing.F) {
	for _, m := range orders() {
		b := make([]byte, OrderSize)
		_, _ = m.Encode(b)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Order
		if err := m.Decode(b); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		again := make([]byte, OrderSize)
		if _, err := m.Encode(again); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("encoded again it differs: %v", err)
		}
	})
}
