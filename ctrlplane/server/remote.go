package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"linecrypt/ctrlplane/session/wire"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/flowtable"
)

// Bounds of sessions.listen. Strangers reach it, and the hosts that may ask are often of one network: connections on which nothing is asked at the
// moment give way to newer ones.
const (
	maxRemote      = 256 // connections on which nothing is asked, and as many on which something is
	maxRemotePeer  = 64  // of each, from one /24 or /64
	remotePatience = 5 * time.Second
	remoteIdle     = 30 * time.Second
	remoteRate     = 100 // requests a second on one connection
	remoteHeader   = 8 << 10
)

// serveRemote answers hosts behind the gateway on l until ctx is done, and closes l.
func (s *Server) serveRemote(ctx context.Context, l net.Listener, t *remoteTLS) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.PathSession, s.answerRemote)
	srv := &http.Server{
		Handler: mux, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: t.current},
		ReadHeaderTimeout: remotePatience, ReadTimeout: remotePatience, WriteTimeout: remotePatience, IdleTimeout: remoteIdle,
		MaxHeaderBytes: remoteHeader, ErrorLog: log.New(slogWriter{s.log}, "", 0),
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, paceKey{}, &pace{})
		},
	}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	_ = srv.ServeTLS(queued(l, srv, maxRemote, maxRemotePeer), "", "") // ends with Close, or with an error of the listener, which then is of no use any more
}

var remoteStatus = map[string]int{
	"": http.StatusOK, wire.ErrorUnknown: http.StatusNotFound, wire.ErrorNotEncrypted: http.StatusConflict, wire.ErrorNotConnected: http.StatusConflict,
	wire.ErrorAmbiguous: http.StatusConflict, wire.ErrorNotAllowed: http.StatusForbidden, wire.ErrorBadRequest: http.StatusBadRequest,
	wire.ErrorTooMany: http.StatusTooManyRequests, wire.ErrorUnavailable: http.StatusServiceUnavailable,
}

// answerRemote answers a host about a connection of its own.
func (s *Server) answerRemote(w http.ResponseWriter, r *http.Request) {
	var reply wire.Reply
	p, paced := r.Context().Value(paceKey{}).(*pace)
	key, err := remoteKey(r.URL.Query())
	switch {
	case paced && !p.allows(time.Now()):
		reply.Error = wire.ErrorTooMany
	case err != nil:
		reply.Error = wire.ErrorBadRequest
	case r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || !names(r.TLS.PeerCertificates[0], key.Inside):
		reply.Error = wire.ErrorNotAllowed
	default:
		reply = s.remoteSession(&key)
	}
	s.events.remoteAsked.Add(1)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(remoteStatus[reply.Error])
	var answer any = reply
	if reply.Error != "" {
		failure := remoteFailure{reply.Error, remoteMessages[reply.Error]}
		if reply.Error == wire.ErrorBadRequest {
			failure.Message = err.Error()
		}
		answer = failure
	}
	_ = json.NewEncoder(w).Encode(answer) // the client is gone if this fails
}

// remoteFailure is the answer to a question that has no other.
type remoteFailure struct {
	Error   string `json:"error"` // for programs
	Message string `json:"message"`
}

var remoteMessages = map[string]string{
	wire.ErrorUnknown:      "the gateway knows no such connection, or it is over",
	wire.ErrorNotEncrypted: "the connection is in the clear",
	wire.ErrorNotConnected: "the connection is still being set up",
	wire.ErrorNotAllowed:   "the client certificate does not name the address inside: it may ask about connections of its own addresses",
	wire.ErrorAmbiguous:    "several connections have these addresses, in different VLANs: name one with vlan=",
	wire.ErrorUnavailable:  "the gateway is starting, or is behind: ask again",
	wire.ErrorTooMany:      "too many questions a second on this connection",
}

func remoteKey(q url.Values) (key flowtable.Key, err error) {
	inside, err := netip.ParseAddrPort(q.Get("inside"))
	if err != nil {
		return key, fmt.Errorf("inside=%q is not address:port", q.Get("inside"))
	}
	outside, err := netip.ParseAddrPort(q.Get("outside"))
	if err != nil {
		return key, fmt.Errorf("outside=%q is not address:port", q.Get("outside"))
	}
	vlan := uint64(wire.AnyVLAN)
	if text := q.Get("vlan"); text != "" {
		if vlan, err = strconv.ParseUint(text, 10, 32); err != nil {
			return key, fmt.Errorf("vlan=%q is not a number", text)
		}
	}
	return flowtable.Key{
		Inside: inside.Addr().As16(), Outside: outside.Addr().As16(), InsidePort: inside.Port(), OutsidePort: outside.Port(), VLAN: uint32(vlan),
	}, nil
}

// names reports whether a certificate has an address among its subject alternative names.
func names(c *x509.Certificate, addr [16]byte) bool {
	for _, ip := range c.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.As16() == addr {
			return true
		}
	}
	return false
}

// remoteSession looks a connection up as an application on this machine does.
func (s *Server) remoteSession(key *flowtable.Key) wire.Reply {
	if p := s.publishedSession(key); p.Error != wire.ErrorUnknown {
		return p
	}
	q := wire.Request{
		Verb: wire.State, VLAN: key.VLAN,
		Local: wire.Endpoint{Addr: key.Inside, Port: key.InsidePort}, Remote: wire.Endpoint{Addr: key.Outside, Port: key.OutsidePort},
	}
	switch s.stateOf(&q) {
	case wire.Unknown:
		return wire.Reply{Error: wire.ErrorUnknown}
	case wire.Plain:
		return wire.Reply{Error: wire.ErrorNotEncrypted}
	case wire.Connecting:
		return wire.Reply{Error: wire.ErrorNotConnected}
	case wire.Ambiguous:
		return wire.Reply{Error: wire.ErrorAmbiguous}
	case wire.Encrypted: // since it was looked for
		if p := s.publishedSession(key); p.Error != wire.ErrorUnknown {
			return p
		}
	}
	return wire.Reply{Error: wire.ErrorUnavailable}
}

func (s *Server) publishedSession(key *flowtable.Key) wire.Reply {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.sessions == nil {
		return wire.Reply{Error: wire.ErrorUnknown}
	}
	var e [2]sessiontable.Entry
	n := 0
	if key.VLAN == wire.AnyVLAN {
		n = s.sessions.Find(key, e[:])
	} else if s.sessions.Lookup(key, &e[0]) {
		n = 1
	}
	switch n {
	case 0:
		return wire.Reply{Error: wire.ErrorUnknown}
	case 1:
		return replyOf(&e[0])
	}
	return wire.Reply{Error: wire.ErrorAmbiguous}
}

func replyOf(e *sessiontable.Entry) wire.Reply {
	return wire.Reply{
		SessionID: hex.EncodeToString(e.SessionID[:]), VLAN: e.Tuple.VLAN, Opener: e.Active, Role: uint8(e.Role), TEP: e.TEP & 0x7f, AEAD: e.AEAD,
		Resumed: e.Resumed, OwnAware: e.OwnAware, PeerAware: e.PeerAware, Auth: uint8(e.Auth), Rule: e.Rule, Since: time.Unix(0, e.Start),
		ENOA: e.ENOA.Bytes(), ENOB: e.ENOB.Bytes(),
	}
}
