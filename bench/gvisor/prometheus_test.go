package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

	"linecrypt/bench/hosts"
	"linecrypt/bench/testenv"
	"linecrypt/ctrlplane/metrics/dashboards"
)

// queries returns the expressions of the dashboard and of the alerts, with Grafana's variables filled in.
func queries(t *testing.T) (list []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(dashboards.Grafana, &d); err != nil {
		t.Fatal(err)
	}
	filled := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "10s")
	for _, p := range d.Panels {
		for _, q := range p.Targets {
			list = append(list, filled.Replace(q.Expr))
		}
	}
	var a struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(dashboards.Alerts, &a); err != nil {
		t.Fatal(err)
	}
	for _, r := range a.Groups[0].Rules {
		list = append(list, r.Expr)
	}
	if len(list) < 25 {
		t.Fatalf("only %d queries", len(list))
	}
	return list
}

// prometheus runs a real one that scrapes an address, and returns its own.
func prometheus(t *testing.T, target string) string {
	t.Helper()
	dir := t.TempDir()
	rules := filepath.Join(dir, "linecrypt.rules.yml")
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%s]\nscrape_configs:\n  - job_name: linecrypt\n    static_configs: [{targets: [%q]}]\n", rules, target)
	if err := os.WriteFile(rules, dashboards.Alerts, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "config", config).CombinedOutput(); err != nil {
		t.Fatalf("promtool: %v: %s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=error")
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + address
}

// ask returns the number of series that a query has, -1 while there is no answer.
func ask(t *testing.T, at, query string) int {
	t.Helper()
	answer, err := http.Get(at + "/api/v1/query?" + url.Values{"query": {query}}.Encode())
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	var a struct {
		Status, Error string
		Data          struct{ Result []any }
	}
	if err := json.NewDecoder(answer.Body).Decode(&a); err != nil || answer.StatusCode == http.StatusServiceUnavailable {
		return -1
	}
	if a.Status != "success" {
		t.Errorf("%s: %s", query, a.Error)
	}
	return len(a.Data.Result)
}

func TestPrometheusScrapesAndEveryQueryIsAboutMetricsThatExist(t *testing.T) {
	if _, err := exec.LookPath("prometheus"); err != nil {
		testenv.Skip(t, "prometheus is missing (Debian package prometheus)")
	}
	n := hosts.New(t, hosts.Options{})
	l := n.Listen(t, hosts.IPv4)
	load := func() {
		client, srv := n.Connect(t, l)
		mustExchange(t, client, srv, 100_000, 100_000, 8192)
	}
	load()
	web := httptest.NewServer(n.A.Control().MetricsHandler())
	defer web.Close()
	text := get(t, web.URL+"/metrics")
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(ours(text))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	at := prometheus(t, strings.TrimPrefix(web.URL, "http://"))
	for end := time.Now().Add(hosts.Patience); ask(t, at, "rate(linecrypt_sealed_bytes_total[10s]) > 0") < 1; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("Prometheus has not scraped twice")
		}
		load()
	}
	names := regexp.MustCompile(`linecrypt_[a-z0-9_]+`)
	for _, q := range queries(t) {
		ask(t, at, q)
		for _, name := range names.FindAllString(q, -1) {
			if !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") {
				t.Errorf("%s: there is no metric %s", q, name)
			}
		}
	}
	if ask(t, at, "histogram_quantile(0.5, sum by (le) (linecrypt_handshake_seconds_bucket)) > 0") != 1 {
		t.Error("no time of a handshake")
	}
	if ask(t, at, `ALERTS{alertstate="firing",severity="critical"}`) != 0 {
		t.Error("a gateway that is well raises an alarm")
	}
}

func TestAlarmsAreRaisedWhereWhatTheyNameHappens(t *testing.T) {
	if _, err := exec.LookPath("promtool"); err != nil {
		testenv.Skip(t, "promtool is missing (Debian package prometheus)")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "rules.yml"), dashboards.Alerts, 0o600); err != nil {
		t.Fatal(err)
	}
	const target, well = `job="lc",instance="gw"`, "1x40"
	firing := func(alert string, series ...string) {
		t.Helper()
		var input strings.Builder
		for i := 0; i < len(series); i += 2 {
			name, labels, _ := strings.Cut(series[i], "{")
			fmt.Fprintf(&input, "      - {series: '%s{%s,%s}', values: '%s'}\n", name, target, strings.TrimSuffix(labels, "}"), series[i+1])
		}
		text := "rule_files: [rules.yml]\ntests:\n  - interval: 30s\n    input_series:\n" + input.String() + "    promql_expr_test:\n" +
			"      - expr: count by (alertname) (ALERTS{alertstate=\"firing\"})\n        eval_time: 20m\n        exp_samples: "
		if alert == "" {
			text += "[]\n"
		} else {
			text += fmt.Sprintf("[{labels: '{alertname=%q}', value: 1}]\n", alert)
		}
		file := filepath.Join(dir, "test.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("promtool", "test", "rules", file).CombinedOutput(); err != nil {
			t.Errorf("%q: %v\n%s", alert, err, out)
		}
	}
	firing("", "up{}", well, "linecrypt_ready{}", well, `linecrypt_process_up{process="ctrlplane"}`, well)
	firing("", "up{}", "0x40") // somebody else's target
	firing("LinecryptNotReady", "up{}", well, "linecrypt_ready{}", "0x40", `linecrypt_process_up{process="ctrlplane"}`, well)
	firing("LinecryptControlPlaneAway", "up{}", well, "linecrypt_ready{}", well, `linecrypt_process_up{process="ctrlplane"}`, "0x40")
	firing("LinecryptControlPlaneAway", "up{}", "1x20 0x20", "linecrypt_ready{}", "1x20 stale", `linecrypt_process_up{process="ctrlplane"}`, "1x20 stale")
	firing("LinecryptPacketsLost", `linecrypt_drops_total{reason="tx_full"}`, "0+100x40", `linecrypt_drops_total{reason="egress_old"}`, "0+100x40")
	firing("LinecryptWorkerSaturated", `linecrypt_busy_cycles_total{worker="0"}`, "0+99x40", `linecrypt_idle_cycles_total{worker="0"}`, "0+1x40")
	firing("LinecryptDataChanged", `linecrypt_aborts_total{reason="auth"}`, "0x30 1x10", `linecrypt_aborts_total{reason="mismatch"}`, "0x40")
	firing("LinecryptSomebodyInTheMiddle", "linecrypt_ctrlplane_session_mismatches_total{}", "0x30 1x10")
	firing("LinecryptSlowHandshakes", `linecrypt_handshake_seconds_bucket{le="2"}`, "0x40", `linecrypt_handshake_seconds_bucket{le="5"}`, "0+1x40", `linecrypt_handshake_seconds_bucket{le="+Inf"}`, "0+1x40")
	firing("LinecryptNoPlace", `linecrypt_plain_total{reason="table_full"}`, "0x40", `linecrypt_refusals_total{reason="table_full"}`, "0+1x40")
	firing("LinecryptKeyLogOn", "linecrypt_ctrlplane_key_log{}", well)
}

func TestDocumentsNameMetricsThatExist(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	client, srv := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustExchange(t, client, srv, 1000, 1000, 1000)
	web := httptest.NewServer(n.A.Control().MetricsHandler())
	defer web.Close()
	text := get(t, web.URL+"/metrics")
	documents, err := filepath.Glob("../../cmd/linecrypt/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, path := range append(documents, "../../README.md") {
		document, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(linecrypt_[a-z0-9_]+)(?:`|\\{|\\.\\.\\.)").FindAllSubmatch(document, -1) {
			if named++; !strings.Contains(text, "\n"+string(m[1])) {
				t.Errorf("%s: there is no metric %s", path, m[1])
			}
		}
	}
	if named < 3 {
		t.Errorf("only %d metrics found", named)
	}
}

// ours are the metrics that are not the Go runtime's.
func ours(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE "); strings.HasPrefix(name, "linecrypt_") {
			b.WriteString(line)
		}
	}
	return b.String()
}

func get(t *testing.T, at string) string {
	t.Helper()
	answer, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestScrapersThatReadNothingHoldUpNobody(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	var scrapes atomic.Int64
	metrics := n.A.Control().MetricsHandler()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scrapes.Add(1)
		metrics.ServeHTTP(w, r)
	}))
	defer web.Close()
	dialer := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error { // before the window is told
		return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096) })
	}}
	for range 16 {
		c, err := dialer.Dial("tcp", strings.TrimPrefix(web.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for range 100 { // far more than the sockets' buffers hold
			if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for before := int64(-1); before != scrapes.Load(); time.Sleep(500 * time.Millisecond) { // until all of them have what their buffers hold
		before = scrapes.Load()
	}
	client := http.Client{Timeout: 5 * time.Second}
	for range 3 {
		answer, err := client.Get(web.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "linecrypt_ready") {
			t.Errorf("%s, %v, %d bytes", answer.Status, err, len(text))
		}
	}
}
