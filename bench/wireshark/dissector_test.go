package wireshark

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"linecrypt/bench/hosts"
	"linecrypt/bench/pattern"
	"linecrypt/bench/pcap"
	"linecrypt/bench/testenv"
)

const script = "tcpcrypt.lua"

func TestMain(m *testing.M) {
	// Workers hold their threads while they poll; on a small machine the hosts need threads to run on all the same.
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), 8))
	os.Exit(m.Run())
}

// tshark runs it over a capture and returns its lines. Without a key log, keys is empty.
func tshark(t *testing.T, capture, keys string, args ...string) []string {
	t.Helper()
	args = append([]string{"-X", "lua_script:" + script, "-o", "tcpcrypt.keylog:" + keys, "-r", capture}, args...)
	cmd := exec.Command("tshark", args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	text := strings.ReplaceAll(errs.String(), "Running as user \"root\" and group \"root\". This could be dangerous.", "")
	if err != nil || strings.TrimSpace(text) != "" {
		t.Fatalf("tshark %v: %v\n%s", args, err, text)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

func need(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		testenv.Skip(t, "tshark is missing (Debian package tshark)")
	}
	if _, err := os.ReadFile(script); err != nil { // go test, which remembers what passed, sees that it is read
		t.Fatal(err)
	}
}

// recording writes what is on a wire to a file.
type recording struct {
	mu   sync.Mutex
	file *pcap.Writer
	err  error
}

func record(t *testing.T, l *hosts.Link) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "wire.pcap")
	file, err := pcap.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{file: file}
	l.Tap(func(_ hosts.Direction, frame []byte) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.file != nil {
			r.err = errors.Join(r.err, r.file.Write(time.Now(), frame, len(frame)))
		}
	})
	return path, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := errors.Join(r.err, r.file.Close()); err != nil {
			t.Fatal(err)
		}
		r.file = nil
	}
}

// transfer sends size bytes of a stream through a new connection, whose session ID it returns, and ends it.
func transfer(t *testing.T, n *hosts.Network, stream uint32, size int64) (id string) {
	t.Helper()
	return transferTo(t, n, n.Listen(t, hosts.IPv4), &pattern.Reader{Stream: stream, Left: size}, &pattern.Verifier{Stream: stream}, size)
}

// transferTo does so to a listener, with any data.
func transferTo(t *testing.T, n *hosts.Network, l *hosts.Listener, from io.Reader, to io.Writer, size int64) (id string) {
	t.Helper()
	client, server := n.Connect(t, l)
	deadline := time.Now().Add(hosts.Patience)
	if err := errors.Join(client.SetDeadline(deadline), server.SetDeadline(deadline)); err != nil {
		t.Fatal(err)
	}
	s, ok := n.A.Session(client.Local(), client.Remote())
	if !ok {
		t.Fatal("the connection is not encrypted")
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(client, from)
		sent <- errors.Join(err, client.CloseWrite())
	}()
	n1, err := io.Copy(to, server)
	if err := errors.Join(err, <-sent, server.CloseWrite()); err != nil || n1 != size {
		t.Fatalf("%d bytes, %v", n1, err)
	}
	_, _ = io.Copy(io.Discard, client)
	client.Close()
	server.Close()
	return hex.EncodeToString(s.SessionID[:])
}

// opened puts the data of opened frames together, of the sender that is named A or B.
func opened(t *testing.T, capture, keys, role string) []byte {
	t.Helper()
	var all []byte
	for _, line := range tshark(t, capture, keys, "-Y", fmt.Sprintf("tcpcrypt.data && tcpcrypt.role == %q && !tcp.analysis.retransmission", role), "-T", "fields", "-e", "tcpcrypt.data") {
		for data := range strings.SplitSeq(line, ",") {
			b, err := hex.DecodeString(data)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
	}
	return all
}

func TestDissectorOpensFramesWithTheKeyLog(t *testing.T) {
	need(t)
	const size = 40_000
	for _, c := range []struct {
		name     string
		settings hosts.Settings
	}{
		{"AES-128-GCM", hosts.Settings{"aeads": "AES_128_GCM"}},
		{"AES-256-GCM, other group", hosts.Settings{"aeads": "AES_256_GCM", "teps": "ECDHE_P256"}},
		{"ChaCha20-Poly1305", hosts.Settings{"aeads": "CHACHA20_POLY1305"}},
		{"keys change every five frames", hosts.Settings{"rekey.frames": "5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := filepath.Join(t.TempDir(), "keys")
			n := hosts.New(t, hosts.Options{Both: c.settings, A: hosts.Settings{"debug.key_log": keys}})
			capture, stop := record(t, n.Wire)
			id := transfer(t, n, 7, size)
			stop()

			for _, line := range tshark(t, capture, keys, "-Y", "tcpcrypt.clen", "-T", "fields", "-e", "tcpcrypt.opened", "-e", "tcpcrypt.session") {
				for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == '\t' || r == ',' }) {
					if word != "1" && word != "True" && word != id {
						t.Errorf("a frame is shown as %q, want opened, and session %s", line, id)
					}
				}
			}
			v := &pattern.Verifier{Stream: 7}
			data := opened(t, capture, keys, "A")
			if _, err := v.Write(data); err != nil || len(data) != size {
				t.Errorf("%d bytes are opened of what host A sent, %v; want %d", len(data), err, size)
			}
			if c.settings["rekey.frames"] != "" {
				if got := tshark(t, capture, keys, "-Y", "tcpcrypt.generation > 2 && tcpcrypt.opened == 1"); len(got) == 0 {
					t.Error("no frame of a later generation is opened")
				}
			}
		})
	}
}

func TestDissectorOpensResumedSessions(t *testing.T) {
	need(t)
	keys := filepath.Join(t.TempDir(), "keys")
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"debug.key_log": keys}})
	transfer(t, n, 1, 1000)
	capture, stop := record(t, n.Wire)
	transfer(t, n, 5, 10_000)
	stop()
	if got := tshark(t, capture, keys, "-Y", "tcpeno.resume.id"); len(got) != 2 {
		t.Fatalf("%d segments name a secret", len(got))
	}
	v := &pattern.Verifier{Stream: 5}
	data := opened(t, capture, keys, "A")
	if _, err := v.Write(data); err != nil || len(data) != 10_000 {
		t.Errorf("%d bytes are opened, %v", len(data), err)
	}
}

func TestDissectorWithoutKeysShowsWhatIsNotSecret(t *testing.T) {
	need(t)
	n := hosts.New(t, hosts.Options{})
	capture, stop := record(t, n.Wire)
	transfer(t, n, 3, 10_000)
	stop()
	for filter, want := range map[string]int{
		"tcp.flags.syn == 1 && tcpeno.tep == 0x23":   2, // both SYNs
		"tcpeno.passive == 1":                        1,
		"tcpcrypt.init == 1 && tcpcrypt.cipher == 1": 1,
		"tcpcrypt.init == 2 && tcpcrypt.init.public": 1,
		"tcpcrypt.data":                              0,
		"_ws.malformed || _ws.lua.error":             0,
	} {
		if got := tshark(t, capture, "", "-Y", filter); len(got) != want {
			t.Errorf("%d packets match %q, want %d:\n%s", len(got), filter, want, strings.Join(got, "\n"))
		}
	}
	if got := tshark(t, capture, "", "-Y", "tcpcrypt.clen && tcpcrypt.offset"); len(got) < 8 {
		t.Errorf("%d packets with frames", len(got))
	}
}

func TestDissectorFindsFramesThatSpanSegments(t *testing.T) {
	need(t)
	keys := filepath.Join(t.TempDir(), "keys")
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"debug.key_log": keys}})
	n.Near.Impair(hosts.Impairment{})
	split := filepath.Join(t.TempDir(), "wire.pcap")
	whole, stop := record(t, n.Wire)
	transfer(t, n, 9, 20_000)
	stop()
	if err := cutSegments(whole, split); err != nil {
		t.Fatal(err)
	}
	v := &pattern.Verifier{Stream: 9}
	data := opened(t, split, keys, "A")
	if _, err := v.Write(data); err != nil || len(data) != 20_000 {
		t.Errorf("%d bytes are opened, %v", len(data), err)
	}
}

func TestDissectorMarksAFrameWithWrongBits(t *testing.T) {
	need(t)
	keys := filepath.Join(t.TempDir(), "keys")
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"debug.key_log": keys}})
	capture, stop := record(t, n.Wire)
	transfer(t, n, 3, 5_000)
	stop()
	b, err := os.ReadFile(capture)
	if err != nil {
		t.Fatal(err)
	}
	frames := tshark(t, capture, keys, "-Y", "tcpcrypt.data && tcp.len > 1000", "-T", "fields", "-e", "tcpcrypt.tag")
	tag, err := hex.DecodeString(strings.Split(frames[0], ",")[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(b, tag)
	b[at] ^= 1
	if err := os.WriteFile(capture, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tshark(t, capture, keys, "-Y", "tcpcrypt.bad_tag"); len(got) != 1 {
		t.Errorf("%d packets are marked, want 1", len(got))
	}
}

// at listens at a port whose dissector tshark knows.
func at(t *testing.T, n *hosts.Network, port uint16) *hosts.Listener {
	t.Helper()
	l, err := n.Server.Listen(netip.AddrPortFrom(n.Server.Address(hosts.IPv4), port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

func TestDissectorHandsOnMessagesThatSpanFrames(t *testing.T) {
	need(t)
	keys := filepath.Join(t.TempDir(), "keys")
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"debug.key_log": keys}})
	body, web := strings.Repeat("0123456789", 5000), at(t, n, 80)
	for end, head := range map[string]string{
		"its length": "POST /form HTTP/1.1\r\nHost: example\r\nContent-Length: 50000\r\n\r\n",
		"FINp":       "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n",
	} {
		capture, stop := record(t, n.Wire)
		transferTo(t, n, web, strings.NewReader(head+body), io.Discard, int64(len(head)+len(body)))
		stop()
		for _, passes := range [][]string{nil, {"-2"}} {
			got := tshark(t, capture, keys, append(passes, "-Y", "http", "-T", "fields", "-e", "http.file_data")...)
			if len(got) != 1 || !strings.HasPrefix(got[0], body) && got[0] != hex.EncodeToString([]byte(body)) {
				t.Errorf("a message that %s ends is shown as %d packets, %v", end, len(got), passes)
			}
		}
	}
}

func TestDissectorGoesOnBehindMessagesThatNoFrameEnds(t *testing.T) {
	need(t)
	const size = 600_000
	keys := filepath.Join(t.TempDir(), "keys")
	n := hosts.New(t, hosts.Options{A: hosts.Settings{"debug.key_log": keys}})
	capture, stop := record(t, n.Wire)
	transferTo(t, n, at(t, n, 7000), &pattern.Reader{Stream: 2, Left: size}, io.Discard, size) // Gryphon's messages begin with their length
	transfer(t, n, 4, 1000)
	stop()
	if got := tshark(t, capture, keys, "-Y", "_ws.lua.error"); len(got) > 0 {
		t.Errorf("Lua fails on %d packets, first on %s", len(got), got[0])
	}
	if data := opened(t, capture, keys, "A"); len(data) != size+1000 {
		t.Errorf("%d bytes are opened, want %d", len(data), size+1000)
	}
}
