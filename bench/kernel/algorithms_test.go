package kernel

import (
	"fmt"
	"testing"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/tcpcrypt"
)

// TestEveryKeyAgreementWithEveryCipher lets the client's gateway offer one of each at a time. The server's has them all,
// with its own preferences.
func TestEveryKeyAgreementWithEveryCipher(t *testing.T) {
	b := newBed(t)
	b.startB(topology.Packet)
	for _, tep := range tcpcrypt.TEPs() {
		for _, aead := range tcpcrypt.AEADs() {
			t.Run(fmt.Sprintf("%s/%s", tep, aead), func(t *testing.T) {
				b := b.in(t)
				b.startA(topology.Packet, fmt.Sprintf("teps=[%s]", tep), fmt.Sprintf("aeads=[%s]", aead))
				const n = 150_000
				for _, f := range families {
					client, srv := b.mustConnect(f)
					b.check(exchange(client, srv, n, n, false))
					s := b.wantSameSession(client)
					if s.TEP != fmt.Sprintf("%#02x", byte(tep)) || s.AEAD != aead.String() {
						t.Errorf("negotiated %s, %s", s.TEP, s.AEAD)
					}
					b.check(exchange(client, srv, 10, 10, true))
				}
				b.wantEncrypted(4 * n)
				b.check(b.a.Stop())
				b.a = nil
			})
		}
	}
}

// TestServersGatewayPrefersItsOwnOrder has the same algorithms on both sides, in opposite orders.
func TestServersGatewayPrefersItsOwnOrder(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet, "teps=[ECDHE_P256, ECDHE_Curve448]", "aeads=[AES_256_GCM, CHACHA20_POLY1305]")
	b.startB(topology.Packet, "teps=[ECDHE_Curve448, ECDHE_P256]", "aeads=[CHACHA20_POLY1305, AES_256_GCM]")
	client, srv := b.mustConnect(ipv4)
	b.check(exchange(client, srv, 1000, 1000, false))
	s := b.wantSameSession(client)
	if s.TEP != fmt.Sprintf("%#02x", byte(tcpcrypt.ECDHECurve448)) || s.AEAD != tcpcrypt.ChaCha20Poly1305.String() {
		t.Errorf("negotiated %s, %s", s.TEP, s.AEAD)
	}
	b.check(exchange(client, srv, 10, 10, true))
	b.wantEncrypted(2000)
}
