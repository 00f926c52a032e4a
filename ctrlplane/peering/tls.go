package peering

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// protocol is what both sides must speak inside of TLS.
const protocol = "linecrypt-peering/1"

// ErrPeer means that the other side has not shown the key that it must have.
var ErrPeer = errors.New("the other side is not the peer")

// certificate makes one for a key. Nobody looks at anything in it but the key.
func certificate(key ed25519.PrivateKey) (tls.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "linecrypt peer"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280 section 4.1.2.5: no end
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("certificate for the peering key: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// baseTLS is what both sides have in common. Session tickets are off: with them a connection would come about without a look at the key.
func baseTLS(cert tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, SessionTicketsDisabled: true,
	}
}

// serverTLS takes connections of those whose key accept takes. That the other side has the key's private half TLS has made sure of.
func serverTLS(cert tls.Certificate, accept func(ed25519.PublicKey) bool) *tls.Config {
	c := baseTLS(cert)
	c.ClientAuth = tls.RequireAnyClientCert
	c.VerifyConnection = verify(accept)
	return c
}

// clientTLS makes connections to the one whose key accept takes. The library's own checks, of names, times and authorities, are off;
// verify takes their place.
func clientTLS(cert tls.Certificate, accept func(ed25519.PublicKey) bool) *tls.Config {
	c := baseTLS(cert)
	c.InsecureSkipVerify = true
	c.VerifyConnection = verify(accept)
	return c
}

func verify(accept func(ed25519.PublicKey) bool) func(tls.ConnectionState) error {
	return func(s tls.ConnectionState) error {
		key := keyOf(&s)
		switch {
		case s.Version < tls.VersionTLS13 || s.NegotiatedProtocol != protocol:
			return fmt.Errorf("protocol %q: %w", s.NegotiatedProtocol, ErrPeer)
		case key == nil || !accept(key):
			return fmt.Errorf("it has another key: %w", ErrPeer)
		}
		return nil
	}
}

// keyOf returns the Ed25519 key that the other side has shown, nil for none.
func keyOf(s *tls.ConnectionState) ed25519.PublicKey {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	key, _ := s.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	return key
}
