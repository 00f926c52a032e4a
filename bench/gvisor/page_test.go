package gvisor

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/testenv"
	"linecrypt/ctrlplane/history"
)

// chromium has a headless browser load a page, and returns what the document is after a while.
func chromium(t *testing.T, at string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*hosts.Patience)
	defer cancel()
	args = append([]string{"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir=" + t.TempDir(), "--timeout=20000", "--enable-logging=stderr", "--v=0"}, args...)
	cmd := exec.CommandContext(ctx, "chromium", append(args, at)...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if strings.Contains(line, ":CONSOLE") {
			t.Errorf("the console says: %s", line)
		}
	}
	return string(out)
}

// lookedAtFor serves a page with a picture that takes a time to come: a browser without a screen is done when the last picture is there.
func lookedAtFor(d time.Duration, page http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/slow.svg", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(d)
		w.Header().Set("Content-Type", "image/svg+xml")
		_, _ = io.WriteString(w, `<svg xmlns="http://www.w3.org/2000/svg"/>`)
	})
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		whole := httptest.NewRecorder()
		page.ServeHTTP(whole, r)
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", whole.Header().Get("Content-Security-Policy"))
		_, _ = io.WriteString(w, whole.Body.String()+`<img src="slow.svg" alt="">`)
	})
	mux.Handle("/", page)
	return mux
}

func TestPageShowsLoadAndConnectionsInABrowser(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		testenv.Skip(t, "chromium is missing (Debian package chromium)")
	}
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	stays, _ := n.Connect(t, l)
	web := httptest.NewServer(lookedAtFor(5*time.Second, n.A.Control().PageHandler()))
	defer web.CloseClientConnections()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // load, as long as the browser looks
		defer close(done)
		for ctx.Err() == nil {
			client, srv := n.Connect(t, l)
			mustExchange(t, client, srv, 50_000, 50_000, 8192)
			time.Sleep(20 * time.Millisecond)
		}
	}()
	defer func() { stop(); <-done }()
	time.Sleep(3 * history.Interval)
	atOnce := httptest.NewServer(n.A.Control().PageHandler())
	defer atOnce.CloseClientConnections()
	if dom := chromium(t, atOnce.URL+"/", "--dump-dom"); !strings.Contains(dom, `id="share">100 %<`) || !strings.Contains(dom, stays.Local().String()) {
		t.Errorf("the document that has just come does not show what there is:\n%s", dom)
	}
	dom := chromium(t, web.URL+"/", "--dump-dom")
	for _, want := range []string{
		">live<", `id="share">100 %<`, "bit/s", stays.Local().String(), stays.Remote().String(), "AES_128_GCM", `class="line c0"`, "crypto", "of the data encrypted", "10 min ago", "default",
	} {
		if !strings.Contains(dom, want) {
			t.Errorf("no %q in the document", want)
		}
	}
	if folder := os.Getenv("LINECRYPT_SCREENSHOTS"); folder != "" { // for somebody to look at
		chromium(t, web.URL+"/", "--window-size=1280,1500", "--screenshot="+filepath.Join(folder, "light.png"))
		chromium(t, web.URL+"/", "--window-size=1280,1500", "--force-dark-mode", "--blink-settings=preferredColorScheme=0", "--screenshot="+filepath.Join(folder, "dark.png"))
		chromium(t, web.URL+"/", "--window-size=400,2600", "--screenshot="+filepath.Join(folder, "narrow.png"))
	}
}

func TestPageListsRefusedConnectionsInABrowser(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		testenv.Skip(t, "chromium is missing (Debian package chromium)")
	}
	n := hosts.New(t, hosts.Options{NoB: true, A: hosts.Settings{"policy": "require"}})
	l := n.Listen(t, hosts.IPv4)
	if c, err := dial(n, l); err == nil {
		c.Close()
		t.Fatal("the connection is not refused")
	}
	web := httptest.NewServer(lookedAtFor(3*time.Second, n.A.Control().PageHandler()))
	defer web.CloseClientConnections()
	dom := chromium(t, web.URL+"/#refused", "--dump-dom")
	_, table, _ := strings.Cut(dom, `<span id="matches">`)
	for _, want := range []string{"1 of 1: 1 ", l.Addr.String(), "require", "default", " ago</td>", "<th>Reason</th>"} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in the list:\n%s", want, table)
		}
	}
	if folder := os.Getenv("LINECRYPT_SCREENSHOTS"); folder != "" {
		chromium(t, web.URL+"/#refused", "--window-size=1280,1500", "--screenshot="+filepath.Join(folder, "refused.png"))
	}
}

func TestPageOnlyReadsAndAnswersNobodyElsesPages(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	web := httptest.NewServer(n.A.Control().PageHandler())
	defer web.Close()
	ask := func(method, path, host string) *http.Response {
		t.Helper()
		q, err := http.NewRequest(method, web.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			q.Host = host
		}
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS"} {
		for _, path := range []string{"/", "/api/history", "/api/connections?state=plain", "/metrics"} {
			if answer := ask(method, path, ""); answer.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, path, answer.Status)
			}
		}
	}
	for host, want := range map[string]int{"127.0.0.1:9469": 200, "localhost": 200, "[::1]:9469": 200, "gateway.example": 403, "localhost.example:80": 403} {
		if answer := ask("GET", "/", host); answer.StatusCode != want {
			t.Errorf("host %s: %s", host, answer.Status)
		}
	}
	answer := ask("GET", "/", "")
	if h := answer.Header; !strings.Contains(h.Get("Content-Security-Policy"), "default-src 'none'") || h.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("headers %v", h)
	}
	if answer := ask("GET", "/api/connections?state=all", ""); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("state=all: %s", answer.Status)
	}
	if answer := ask("GET", "/../server.go", ""); answer.StatusCode == http.StatusOK {
		t.Error("a file that is not the page's")
	}
}

func TestEachPointIsAnEventAndTooManyPagesAreRefused(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	web := httptest.NewServer(n.A.Control().PageHandler())
	defer web.CloseClientConnections()
	var first *http.Response
	refused := 0
	for range 17 {
		answer, err := http.Get(web.URL + "/api/events")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if first == nil {
			first = answer
		}
		if answer.StatusCode == http.StatusServiceUnavailable && answer.Header.Get("Retry-After") != "" {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("%d of 17 pages were refused", refused)
	}
	seen := 0
	for lines := bufio.NewScanner(first.Body); seen < 2 && lines.Scan(); {
		text, found := strings.CutPrefix(lines.Text(), "data: ")
		if !found {
			continue
		}
		var p history.Point
		if err := json.Unmarshal([]byte(text), &p); err != nil || len(p.Workers) == 0 || time.Since(time.UnixMilli(p.Time)) > hosts.Patience {
			t.Errorf("%s: %v", text, err)
		}
		seen++
	}
	if seen != 2 {
		t.Errorf("%d points", seen)
	}
	if c, err := net.Dial("tcp", strings.TrimPrefix(web.URL, "http://")); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}
