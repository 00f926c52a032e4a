package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

func TestSessionsAreListedWithRuleAndVerdictAndPlainOnesWithTheReason(t *testing.T) {
	s, p := attached(t)
	rule := s.responder.Set().Ref(s.responder.Set().Len() - 1)
	ref, k := p.flow(0, 1000, flowtable.Encrypted)
	r := p.lanes[0].flows.Record(ref.Index)
	r.Verdict, r.Rule, r.Flags = flowtable.Require, rule, flowtable.FlagActive
	if err := s.sessions.Insert(&sessiontable.Entry{Tuple: k, SessionID: [33]byte{0x23, 1}, Index: ref.Index, Gen: ref.Gen, Rule: uint32(rule)}); err != nil {
		t.Fatal(err)
	}
	plain, _ := p.flow(0, 1001, flowtable.Plain)
	r = p.lanes[0].flows.Record(plain.Index)
	r.Verdict, r.Rule, r.Rare.Abort = flowtable.Opportunistic, rule, uint16(shm.PlainSynReset)
	srv := httptest.NewServer(s.ControlHandler())
	defer srv.Close()
	get := func(query string) (list []connections.Connection, status int, text string) {
		t.Helper()
		answer, err := http.Get(srv.URL + "/sessions" + query)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusOK {
			if err := json.Unmarshal(b, &list); err != nil {
				t.Fatal(err)
			}
		}
		return list, answer.StatusCode, string(b)
	}
	list, _, text := get("")
	if len(list) != 1 || list[0].Rule != "default" || list[0].Verdict != "require" || !strings.HasPrefix(list[0].SessionID, "2301") || list[0].Client != "10.0.0.1:1000" {
		t.Errorf("encrypted: %s", text)
	}
	list, _, text = get("?state=plain&port=1001&peer=10.0.0.2&sort=idle")
	if len(list) != 1 || list[0].Rule != "default" || list[0].Verdict != "opportunistic" || list[0].Reason != "syn_reset" || list[0].Because == "" {
		t.Errorf("plain: %s", text)
	}
	if list, _, text := get("?state=plain&port=1000"); list == nil || len(list) != 0 {
		t.Errorf("filtered: %s", text)
	}
	for _, query := range []string{"?state=odd", "?port=70000", "?peer=host", "?sort=size"} {
		if _, status, text := get(query); status != http.StatusBadRequest || text == "" {
			t.Errorf("%s: status %d, %s", query, status, text)
		}
	}
	if one := s.session(&sessiontable.Entry{Tuple: k, Rule: uint32(rule)}); one.Rule != "default" || one.Verdict == "" {
		t.Errorf("for watchers: %+v", one)
	}
}
