package tcpcrypt

import (
	"crypto/rand"
	"testing"
)

func BenchmarkFrameHeaderAndNonce(b *testing.B) {
	key := testKey(AES128GCM)
	frame := []byte{0, 0x05, 0x75}
	var sum byte
	b.ReportAllocs()
	b.SetBytes(1380)
	for i := range b.N {
		h, err := ParseHeader(frame)
		if err != nil {
			b.Fatal(err)
		}
		aad, nonce := h.AAD(), key.Nonce(uint64(i))
		sum ^= aad[2] ^ nonce[NonceLen-1]
	}
	_ = sum
}

func BenchmarkRekeyBothDirections(b *testing.B) {
	mk := MasterKey{1}
	b.ReportAllocs()
	for range b.N {
		mk = mk.Next()
		ab, ba := mk.Traffic(AES128GCM, AB), mk.Traffic(AES128GCM, BA)
		ab.Wipe()
		ba.Wipe()
	}
}

func BenchmarkKeyExchange(b *testing.B) {
	for _, tep := range TEPs() {
		peer, err := GenerateKey(tep, rand.Reader)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(tep.String()+"/generate", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := GenerateKey(tep, rand.Reader); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(tep.String()+"/shared", func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, err := peer.Shared(peer.Public()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
