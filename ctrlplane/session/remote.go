package session

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"time"

	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// RemoteOptions say which control plane to ask, and who asks.
type RemoteOptions struct {
	Address     string // host:port of sessions.listen of the gateway's configuration
	Certificate string // PEM files: this host's certificate, with its address as an IP subject alternative name, and its key
	Key         string // of mode 0600
	ServerCA    string // whoever signed the control plane's certificate
}

// remote asks a control plane over HTTPS.
type remote struct {
	client *http.Client
	url    url.URL
}

// remotePatience is how long a control plane may take to answer.
const remotePatience = 5 * time.Second

// remoteAtOnce is on how many connections a Finder asks it at once: a control plane has a bound for those of one network.
const remoteAtOnce = 4

// Remote returns a Finder for an application on a host behind a gateway. It asks the gateway's control plane over HTTPS, which answers about
// connections of the addresses in the host's certificate alone. Local addresses of its methods are those of the host.
func Remote(o RemoteOptions) (*Finder, error) {
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("control plane %q: %w", o.Address, err)
	}
	if err := CheckKeyFile(o.Key); err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(o.Certificate, o.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", o.Certificate, o.Key, err)
	}
	roots, err := LoadCA(o.ServerCA)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: remotePatience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, RootCAs: roots},
		MaxConnsPerHost: remoteAtOnce, MaxIdleConnsPerHost: remoteAtOnce, IdleConnTimeout: 30 * time.Second,
	}}
	return &Finder{remote: &remote{client, url.URL{Scheme: "https", Host: o.Address, Path: wire.PathSession}}}, nil
}

// CheckKeyFile refuses a file with a private key that others than its owner may read or write.
func CheckKeyFile(path string) error {
	st, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	if !st.Mode().IsRegular() || st.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("private key %s: mode %04o lets others than its owner at it: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	return nil
}

// LoadCA reads the certificates of a PEM file.
func LoadCA(path string) (*x509.CertPool, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("certificates of the authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("certificates of the authority: %s has none in PEM form", path)
	}
	return pool, nil
}

func (r *remote) lookup(ctx context.Context, key *flowtable.Key) (Session, error) {
	local := netip.AddrPortFrom(netip.AddrFrom16(key.Inside).Unmap(), key.InsidePort)
	far := netip.AddrPortFrom(netip.AddrFrom16(key.Outside).Unmap(), key.OutsidePort)
	q := url.Values{"inside": {local.String()}, "outside": {far.String()}}
	if key.VLAN != AnyVLAN {
		q.Set("vlan", strconv.FormatUint(uint64(key.VLAN), 10))
	}
	at := r.url
	at.RawQuery = q.Encode()
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return Session{}, err
	}
	answer, err := r.client.Do(question)
	if err != nil {
		return Session{}, refusal(err)
	}
	defer answer.Body.Close()
	var reply wire.Reply
	if err := json.NewDecoder(io.LimitReader(answer.Body, wire.MaxReply)).Decode(&reply); err != nil {
		return Session{}, fmt.Errorf("%w, and %w: %s: %w", ErrUnknown, ErrUnavailable, answer.Status, err)
	}
	if err := errorOf(reply.Error); err != nil {
		return Session{}, err
	}
	return sessionOfReply(&reply, local, far)
}

// refusal tells a control plane that does not accept this host's certificate from one that is not there.
func refusal(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" {
		return fmt.Errorf("%w: the control plane does not accept this host's certificate: %w", ErrNotAllowed, err)
	}
	return fmt.Errorf("%w, and %w: %w", ErrUnknown, ErrUnavailable, err)
}

func errorOf(text string) error {
	switch text {
	case "":
		return nil
	case wire.ErrorNotEncrypted:
		return ErrNotEncrypted
	case wire.ErrorNotConnected:
		return ErrNotConnected
	case wire.ErrorNotAllowed:
		return fmt.Errorf("%w: this host's certificate does not name the local address", ErrNotAllowed)
	case wire.ErrorAmbiguous:
		return ErrAmbiguous
	case wire.ErrorUnknown:
		return ErrUnknown
	}
	return fmt.Errorf("%w, and %w: the control plane says %.40q", ErrUnknown, ErrUnavailable, text)
}

func sessionOfReply(p *wire.Reply, local, far netip.AddrPort) (Session, error) {
	id, err := hex.DecodeString(p.SessionID)
	if err != nil || len(id) != len(ID{}) || !Role(p.Role).Valid() {
		return Session{}, fmt.Errorf("%w, and %w: the control plane's answer makes no sense", ErrUnknown, ErrUnavailable)
	}
	return Session{
		Local: local, Remote: far, VLAN: p.VLAN, ID: ID(id), Opener: p.Opener, Role: Role(p.Role),
		TEP: tcpcrypt.TEP(p.TEP & 0x7f), AEAD: tcpcrypt.AEAD(p.AEAD), Resumed: p.Resumed, OwnAware: p.OwnAware, PeerAware: p.PeerAware,
		Auth: sessiontable.Auth(p.Auth), Rule: p.Rule, Since: p.Since, ENOA: p.ENOA, ENOB: p.ENOB,
	}, nil
}
