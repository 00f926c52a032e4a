package gvisor

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/ctrlplane/server"
)

// tracing begins a trace at a gateway and returns its lines.
func tracing(t *testing.T, g *hosts.Gateway, packets string, ends ...string) (*json.Decoder, *http.Response) {
	t.Helper()
	srv := httptest.NewServer(g.Control().ControlHandler())
	t.Cleanup(srv.Close)
	answer, err := http.Post(srv.URL+"/trace?"+url.Values{"end": ends, "packets": {packets}}.Encode(), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { answer.Body.Close() })
	return json.NewDecoder(bufio.NewReader(answer.Body)), answer
}

func TestTraceTellsWhatBecomesOfAConnectionsPackets(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, srv := n.Connect(t, n.Listen(t, hosts.IPv4))
	other, otherSrv := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	ends := []string{client.Local().String(), client.Remote().String()} // asked now: a connection that has ended has none
	lines, answer := tracing(t, n.A, "40", ends...)
	if answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status)
	}
	if _, second := tracing(t, n.A, "1", "::/0"); second.StatusCode != http.StatusConflict {
		t.Errorf("a second trace: %s", second.Status)
	}
	mustExchange(t, other, otherSrv, 10_000, 10_000, 8192)
	mustExchange(t, client, srv, 300_000, 300_000, 8192)
	stations, received := map[string]int{}, 0
	for {
		var l server.TraceLine
		if lines.Decode(&l) != nil {
			break
		}
		stations[l.Station]++
		switch l.Station {
		case "rx":
			received++
			if !slices.Contains(ends, l.Src) || !slices.Contains(ends, l.Dst) {
				t.Errorf("a packet of another connection: %+v", l)
			}
		case "verdict":
			if l.State != "encrypted" || l.Verdict != "opportunistic" || l.Rule != "default" {
				t.Errorf("%+v", l)
			}
		case "seal", "open":
			if l.OK == nil || !*l.OK {
				t.Errorf("%+v", l)
			}
		case "count":
			if l.Counter == "" || l.Help == "" || l.Number == 0 {
				t.Errorf("%+v", l)
			}
		case "":
			t.Errorf("%+v", l)
		}
	}
	if received != 40 {
		t.Errorf("%d packets were received, not 40", received)
	}
	for _, station := range []string{"verdict", "translate", "seal", "open", "tx", "count"} {
		if stations[station] == 0 {
			t.Errorf("station %s told nothing: %v", station, stations)
		}
	}
	if _, again := tracing(t, n.A, "1", "10.0.0.0/8"); again.StatusCode != http.StatusOK {
		t.Errorf("a trace after the end of the first: %s", again.Status)
	}
}

// What a connection goes on to say is not awaited: a trace ends a moment behind the packets that were asked for.
func TestTraceOfABusyConnectionEnds(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, srv := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	lines, _ := tracing(t, n.A, "2", client.Local().String(), client.Remote().String())
	took := make(chan time.Duration, 1)
	go func() {
		var asked, last time.Time
		for received := 0; ; {
			var l server.TraceLine
			if lines.Decode(&l) != nil {
				took <- last.Sub(asked)
				return
			}
			if last = l.Time; l.Station == "rx" && received < 2 {
				received, asked = received+1, l.Time
			}
		}
	}()
	for piece := make([]byte, 1000); ; {
		select {
		case d := <-took:
			if d > 2*time.Second {
				t.Errorf("it goes on for %v", d)
			}
			return
		default:
			if _, err := client.Write(piece); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(srv, piece); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatCannotBeTracedIsRefused(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	for _, c := range []struct {
		packets string
		ends    []string
	}{
		{"10", nil},
		{"10", []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}},
		{"10", []string{"host"}},
		{"10", []string{"10.0.0.0/33"}},
		{"10", []string{":0"}},
		{"10", []string{"0123456789"}}, // a session ID that nobody has
		{"0", []string{"10.0.0.1"}},
		{"100001", []string{"10.0.0.1"}},
		{"many", []string{"10.0.0.1"}},
	} {
		if _, answer := tracing(t, n.A, c.packets, c.ends...); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s packets of %q: %s", c.packets, c.ends, answer.Status)
		}
	}
}
