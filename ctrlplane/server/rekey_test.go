package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// published makes an encrypted connection whose session ID is in the table.
func (p *plane) published(s *Server, port uint16, id ...byte) (sessiontable.Entry, *flowtable.Record) {
	p.t.Helper()
	e := p.entry(0, port)
	copy(e.SessionID[:], id)
	e.Active = true
	if err := s.sessions.Insert(&e); err != nil {
		p.t.Fatal(err)
	}
	return e, p.lanes[0].flows.Record(e.Index)
}

// ask is POST /rekey.
func ask(t *testing.T, s *Server, q RekeyRequest) Rekeying {
	t.Helper()
	body, _ := json.Marshal(q)
	w := httptest.NewRecorder()
	s.ControlHandler().ServeHTTP(w, httptest.NewRequest("POST", "/rekey", bytes.NewReader(body)))
	var r Rekeying
	if err := json.NewDecoder(w.Body).Decode(&r); w.Code != 200 || err != nil {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return r
}

func TestRekeyWaitsUntilBothEndsHaveNewKeys(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	e, rec := p.published(s, 1000, 0x23, 0xab, 0xcd)
	p.published(s, 1001, 0x23, 0xab, 0xff)
	for _, c := range []struct {
		name       string
		connection []string
		far        bool // it follows
	}{
		{"as the host sees it", []string{"10.0.0.1:1000", "10.0.0.2:80"}, true},
		{"as the far end sees it", []string{"10.0.0.2:80", "10.0.0.1:1000"}, true},
		{"by session ID", []string{"23ABcd"}, true},
		{"without an answer", []string{"23abcd"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := rec.Rare.SealGen
			done := make(chan Rekeying, 1)
			wait := patience
			if !c.far { // which all of it passes for
				wait = time.Second
			}
			go func() { done <- ask(t, s, RekeyRequest{Connection: c.connection, Wait: wait}) }()
			if o := p.receiveOrder(0); o != OrderAbout(&e, shm.Rekey, shm.ReasonNone) {
				t.Fatalf("ordered %+v", o)
			}
			atomic.AddUint32(&rec.Rare.SealGen, 1)
			time.Sleep(5 * time.Millisecond)
			if c.far {
				atomic.AddUint32(&rec.Rare.OpenGen, 1)
			}
			r := <-done
			want := RekeyDone
			if !c.far {
				want = RekeyUnanswered
			}
			if len(r.Connections) != 1 || r.Error != "" || r.Done+r.Failed != 1 {
				t.Fatalf("%+v", r)
			}
			one := r.Connections[0]
			if one.Outcome != want || one.Sealed != before+1 || one.Client != "10.0.0.1:1000" || one.Server != "10.0.0.2:80" || c.far && one.Took < 5e6 {
				t.Errorf("%+v", one)
			}
		})
	}
	// The far end of the last case has still not followed: RFC 8548 section 3.8 allows no other.
	if r := ask(t, s, RekeyRequest{Connection: []string{"23abcd"}, Wait: time.Second}); r.Connections[0].Outcome != RekeyPending || r.Failed != 1 {
		t.Errorf("%+v", r)
	}
}

func TestRekeySaysWhyItDoesNothing(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, stop := run(t, options(p.dir))
	p.published(s, 1000, 0x23, 0xab, 0xcd, 1)
	p.published(s, 1001, 0x23, 0xab, 0xcd, 2)
	p.flow(0, 2000, flowtable.Plain)
	p.flow(0, 2001, flowtable.ActiveInit)
	same := p.entry(0, 1000)
	same.Tuple.VLAN = 7
	if err := s.sessions.Insert(&same); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		q    RekeyRequest
		says string
	}{
		{RekeyRequest{}, "neither two ends nor a session ID"},
		{RekeyRequest{All: true, Connection: []string{"23ab"}}, "all connections, and one of them"},
		{RekeyRequest{Connection: []string{"a", "b", "c"}}, "neither two ends nor a session ID"},
		{RekeyRequest{Connection: []string{"10.0.0.1", "10.0.0.2:80"}}, `"10.0.0.1" is not address:port`},
		{RekeyRequest{Connection: []string{"23a"}}, `"23a" is not 4 to 66 hexadecimal digits`},
		{RekeyRequest{Connection: []string{"23zz"}}, `"23zz" is not 4 to 66 hexadecimal digits`},
		{RekeyRequest{Connection: []string{"23abcdff"}}, "session ID 23abcdff: no such encrypted connection"},
		{RekeyRequest{Connection: []string{"23abcd"}}, "more than one connection: 2 session IDs begin with 23abcd, for example 23abcd01"},
		{RekeyRequest{Connection: []string{"10.0.0.1:1000", "10.0.0.2:80"}}, "more than one connection between 10.0.0.1:1000 and 10.0.0.2:80, in several VLANs"},
		{RekeyRequest{Connection: []string{"10.0.0.1:3000", "10.0.0.2:80"}}, "no such encrypted connection"},
		{RekeyRequest{Connection: []string{"10.0.0.1:2000", "10.0.0.2:80"}}, "the connection is not encrypted"},
		{RekeyRequest{Connection: []string{"10.0.0.2:80", "10.0.0.1:2001"}}, "the connection is not encrypted yet"},
	} {
		if r := ask(t, s, c.q); !strings.Contains(r.Error, c.says) || len(r.Connections) != 0 {
			t.Errorf("%+v: %q, not %q", c.q, r.Error, c.says)
		}
	}
	w := httptest.NewRecorder()
	s.ControlHandler().ServeHTTP(w, httptest.NewRequest("POST", "/rekey", strings.NewReader("x")))
	if w.Code != 400 {
		t.Errorf("no JSON: status %d", w.Code)
	}
	stop()
	if r := s.Rekey(context.Background(), &RekeyRequest{Connection: []string{"23abcd01"}}); !strings.Contains(r.Error, "no such encrypted connection") {
		t.Errorf("without a data plane: %+v", r)
	}
}

func TestRekeyTellsWhatBecameOfConnectionsThatCannot(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	for i, c := range []struct {
		change func(r *flowtable.Record)
		want   RekeyOutcome
	}{
		{func(r *flowtable.Record) { r.State = flowtable.Closing }, RekeyGone},
		{func(r *flowtable.Record) { r.Egress.Flags |= flowtable.EgressFIN }, RekeyEnding},
		{func(r *flowtable.Record) { r.Ingress.Flags |= flowtable.IngressFINp }, RekeyEnding},
		{func(r *flowtable.Record) { r.Rare.SealGen = 3 }, RekeyPending},
		{func(*flowtable.Record) {}, RekeyRefused}, // this data plane holds still
	} {
		_, rec := p.published(s, uint16(1000+i), 0x23, 0xab, byte(i))
		c.change(rec)
		q := RekeyRequest{Connection: []string{"23ab0" + string(rune('0'+i))}, Wait: 20 * time.Millisecond}
		if r := ask(t, s, q); r.Error != "" || len(r.Connections) != 1 || r.Connections[0].Outcome != c.want {
			t.Errorf("%v: %+v", c.want, r)
		}
	}
}

func TestAllConnectionsRekey(t *testing.T) {
	p := newPlane(t, t.TempDir(), 1)
	s, _ := run(t, options(p.dir))
	const connections = 100
	var records []*flowtable.Record
	for i := range connections {
		_, rec := p.published(s, uint16(1000+i), 0x23, byte(i))
		records = append(records, rec)
	}
	records[7].Egress.Flags |= flowtable.EgressFIN
	go func() {
		for range connections - 1 {
			o := p.receiveOrder(0)
			rec := p.lanes[0].flows.Record(o.Ref.Index)
			atomic.AddUint32(&rec.Rare.SealGen, 1)
			atomic.AddUint32(&rec.Rare.OpenGen, 1)
		}
	}()
	r := ask(t, s, RekeyRequest{All: true, Wait: patience})
	if r.Done != connections-1 || r.Failed != 1 || len(r.Connections) != 1 || r.Connections[0].Outcome != RekeyEnding {
		t.Errorf("%+v", r)
	}
}
