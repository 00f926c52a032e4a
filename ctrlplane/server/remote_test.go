package server

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linecrypt/ctrlplane/session"
	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// authority signs certificates into files of a folder.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.issue("ca")
	return a
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name+".pem") }

// issue writes NAME.pem and NAME-key.pem, with addresses for names.
func (a *authority) issue(name string, addrs ...string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.n++
	c := &x509.Certificate{
		SerialNumber: big.NewInt(a.n), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: a.cert == nil, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, addr := range addrs {
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(addr))
	}
	if a.cert == nil {
		a.cert, a.key = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name, "CERTIFICATE", der)
	a.write(name+"-key", "PRIVATE KEY", secret)
}

func (a *authority) write(name, kind string, der []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// answering is a server of sessions.listen whose certificates are of ca, and a plane behind it.
func answering(t *testing.T, ca *authority) (*Server, *plane, string) {
	t.Helper()
	s, p := attached(t)
	ca.issue("server", "127.0.0.1")
	conf, err := newRemoteTLS(RemoteFiles{ca.file("server"), ca.file("server-key"), ca.file("ca")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.serveRemote(ctx, l, conf) }()
	t.Cleanup(func() { stop(); <-done })
	return s, p, l.Addr().String()
}

func (a *authority) finder(address, name string) *session.Finder {
	a.t.Helper()
	f, err := session.Remote(session.RemoteOptions{Address: address, Certificate: a.file(name), Key: a.file(name + "-key"), ServerCA: a.file("ca")})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { f.Close() })
	return f
}

func TestHostsWaitAsLongAsTheirContextsForAControlPlaneThatHangs(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("host", "10.0.0.1")
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host := ca.finder(l.Addr().String(), "host")
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	const waiting = 10
	ended := make(chan error, waiting)
	for range waiting {
		go func() {
			_, err := host.Wait(ctx, netip.MustParseAddrPort("10.0.0.1:1000"), netip.MustParseAddrPort("192.0.2.1:80"))
			ended <- err
		}()
	}
	late := time.After(20 * time.Second)
	for range waiting {
		select {
		case err := <-ended:
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, session.ErrUnknown) {
				t.Error(err)
			}
		case <-late:
			t.Fatal("some still wait for the control plane, and not for their context")
		}
	}
}

func TestHostsAreToldOfTheirOwnConnectionsAndOfNoOthers(t *testing.T) {
	ca := newAuthority(t)
	s, p, address := answering(t, ca)
	ref, k := p.flow(0, 1000, flowtable.Encrypted)
	local, remote := ends(&k)
	entry := sessiontable.Entry{
		Tuple: k, Active: true, Role: flowtable.RoleA, TEP: 0x23, AEAD: 2, SessionID: [33]byte{0x23, 7}, Index: ref.Index, Gen: ref.Gen,
		PeerAware: true, Resumed: true, Auth: sessiontable.Authenticated, Rule: 9, Start: 5e18, ENOA: sessiontable.MakeENO([]byte{69, 3, 0x23}),
	}
	if err := s.sessions.Insert(&entry); err != nil {
		t.Fatal(err)
	}
	ca.issue("host", local.Addr().String(), "2001:db8::1")
	ca.issue("neighbour", "10.0.0.77")
	host := ca.finder(address, "host")
	got, err := host.Lookup(local, remote)
	if err != nil || got.ID != entry.SessionID || got.Role != session.RoleA || !got.Opener || !got.PeerAware || got.OwnAware || !got.Resumed ||
		got.Auth != session.Authenticated || got.Rule != 9 || got.AEAD.String() != "AES_256_GCM" || got.Local != local || string(got.ENOA) != "E\x03\x23" || got.Since.UnixNano() != 5e18 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := ca.finder(address, "neighbour").Lookup(local, remote); !errors.Is(err, session.ErrNotAllowed) {
		t.Errorf("a neighbour: %v", err)
	}
	for state, want := range map[flowtable.State]error{
		flowtable.Plain: session.ErrNotEncrypted, flowtable.ActiveInit: session.ErrNotConnected, flowtable.Closing: session.ErrUnknown,
	} {
		_, k := p.flow(1, 2000+uint16(state), state)
		if _, err := host.Lookup(ends(&k)); !errors.Is(err, want) || errors.Is(err, session.ErrUnavailable) {
			t.Errorf("%v: %v", state, err)
		}
	}
	if _, err := host.Lookup(netip.AddrPortFrom(local.Addr(), 9), remote); !errors.Is(err, session.ErrUnknown) {
		t.Errorf("no connection: %v", err)
	}
}

func TestStrangersCertificatesAreRefused(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	_, p, address := answering(t, ca)
	_, k := p.flow(0, 1000, flowtable.Plain)
	local, remote := ends(&k)
	other.issue("stranger", local.Addr().String())
	for _, name := range []string{"stranger", "stranger-key"} {
		b, err := os.ReadFile(other.file(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(ca.file(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := ca.finder(address, "stranger").Lookup(local, remote); !errors.Is(err, session.ErrNotAllowed) {
		t.Errorf("a certificate of another authority: %v", err)
	}
	pool, err := session.LoadCA(ca.file("ca"))
	if err != nil {
		t.Fatal(err)
	}
	for name, conf := range map[string]*tls.Config{
		"no certificate": {RootCAs: pool}, "TLS 1.2": {RootCAs: pool, MaxVersion: tls.VersionTLS12},
	} {
		client := http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: conf}}
		if answer, err := client.Get("https://" + address + wire.PathSession); err == nil {
			t.Errorf("%s: %s", name, answer.Status)
		}
	}
	ca.issue("host", local.Addr().String())
	f := other.finder(address, "stranger") // does not trust the server's authority
	if _, err := f.Lookup(local, remote); !errors.Is(err, session.ErrUnavailable) {
		t.Errorf("a server whose certificate is not trusted: %v", err)
	}
}

func TestNonsenseByHTTPSIsRefusedAndTooMuchToo(t *testing.T) {
	ca := newAuthority(t)
	_, _, address := answering(t, ca)
	ca.issue("host", "10.0.0.1")
	cert, err := tls.LoadX509KeyPair(ca.file("host"), ca.file("host-key"))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := session.LoadCA(ca.file("ca"))
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}}}
	for query, want := range map[string]int{
		"": 400, "inside=x&outside=y": 400, "inside=10.0.0.1:1&outside=10.0.0.2:2&vlan=-1": 400, "inside=10.0.0.9:1&outside=10.0.0.2:2": 403,
		"inside=10.0.0.1:1&outside=10.0.0.2:2": 404, "inside=10.0.0.1:1&outside=10.0.0.2:2&vlan=5": 404, "inside=" + strings.Repeat("9", 20_000): 431,
	} {
		answer, err := client.Get("https://" + address + wire.PathSession + "?" + query)
		if err != nil || answer.StatusCode != want {
			t.Errorf("%.60s: %v, %v", query, answer, err)
			continue
		}
		answer.Body.Close()
	}
	p := pace{}
	now := time.Now()
	for range remoteRate {
		if !p.allows(now) {
			t.Fatal("refused too early")
		}
	}
	if p.allows(now) || !p.allows(now.Add(time.Second)) {
		t.Error("the pace is not kept, or kept for ever")
	}
}

func TestHostsOfOneNetworkAreAllAnswered(t *testing.T) {
	ca := newAuthority(t)
	_, p, address := answering(t, ca)
	_, k := p.flow(0, 4000, flowtable.Plain)
	local, remote := ends(&k)
	ca.issue("host", "10.0.0.1")
	for range maxRemotePeer {
		c, err := net.Dial("tcp", address) // a stranger who says nothing
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	first := ca.finder(address, "host")
	for i := range maxRemotePeer + 5 { // each keeps its connection
		f := ca.finder(address, "host")
		if i == 0 {
			f = first
		}
		if _, err := f.Lookup(local, remote); !errors.Is(err, session.ErrNotEncrypted) {
			t.Fatalf("host %d: %v", i, err)
		}
	}
	if _, err := first.Lookup(local, remote); !errors.Is(err, session.ErrNotEncrypted) {
		t.Errorf("the first one, whose connection was given up: %v", err)
	}
}

func TestCertificatesAreReadAgainAndBadOnesLeaveTheOldOnes(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("server", "127.0.0.1")
	r, err := newRemoteTLS(RemoteFiles{ca.file("server"), ca.file("server-key"), ca.file("ca")}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	look := func() *tls.Config {
		r.looked = time.Time{}
		c, err := r.current(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := look()
	ca.issue("server", "127.0.0.1", "127.0.0.2")
	second := look()
	if second == first {
		t.Error("new certificates are not read")
	}
	if err := os.WriteFile(ca.file("server"), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if look() != second {
		t.Error("a bad file took the good certificates away")
	}
}

func TestKeyFilesThatOthersCanReadAndMissingFilesAreErrorsThatSayWhatToDo(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("server", "127.0.0.1")
	good := RemoteFiles{ca.file("server"), ca.file("server-key"), ca.file("ca")}
	for name, c := range map[string]struct {
		files  RemoteFiles
		change func() error
		want   string
	}{
		"mode":     {good, func() error { return os.Chmod(good.Key, 0o644) }, "chmod 600"},
		"no key":   {RemoteFiles{good.Certificate, "/nowhere", good.ClientCA}, nil, "/nowhere"},
		"no CA":    {RemoteFiles{good.Certificate, good.Key, "/nowhere"}, nil, "/nowhere"},
		"CA empty": {RemoteFiles{good.Certificate, good.Key, "/dev/null"}, nil, "none in PEM"},
		"not PEM":  {RemoteFiles{"/dev/null", good.Key, good.ClientCA}, nil, "/dev/null"},
		"folder":   {RemoteFiles{good.Certificate, t.TempDir(), good.ClientCA}, nil, "private key"},
	} {
		if err := os.Chmod(good.Key, 0o600); err != nil {
			t.Fatal(err)
		}
		if c.change != nil {
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.files.load(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		o := session.RemoteOptions{Address: "127.0.0.1:1", Certificate: c.files.Certificate, Key: c.files.Key, ServerCA: c.files.ClientCA}
		if _, err := session.Remote(o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, of the host: %v", name, err)
		}
	}
}

func TestEveryRefusalOverHTTPSSaysWhatIsTheMatter(t *testing.T) {
	for code := range remoteStatus {
		if text := remoteMessages[code]; text == "" && code != "" && code != wire.ErrorBadRequest {
			t.Errorf("%s has no message", code)
		}
	}
	s, _ := attached(t)
	for query, want := range map[string]string{
		"inside=host&outside=192.0.2.1:80":                  `inside="host"`,
		"inside=192.0.2.1:80":                               `outside=""`,
		"inside=192.0.2.1:80&outside=192.0.2.1:80&vlan=one": `vlan="one"`,
		"inside=192.0.2.1:80&outside=192.0.2.1:80":          "its own addresses",
	} {
		w := httptest.NewRecorder()
		s.answerRemote(w, httptest.NewRequest(http.MethodGet, wire.PathSession+"?"+query, nil))
		var answer map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer) != 2 || answer["error"] == "" || !strings.Contains(answer["message"], want) {
			t.Errorf("%s: %s, %v", query, w.Body, err)
		}
	}
}
