package cryptobatch

import (
	"bytes"
	"encoding/hex"
	"testing"
)

type vector struct {
	name                           string
	alg                            Algorithm
	key, nonce, plain, aad, sealed string
}

const (
	gcmKey128 = "feffe9928665731c6d6a8f9467308308"
	gcmKey256 = gcmKey128 + gcmKey128
	gcmNonce  = "cafebabefacedbaddecaf888"
	gcmText60 = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
	gcmText64 = gcmText60 + "1aafd255"
	gcmAAD    = "feedfacedeadbeeffeedfacedeadbeefabaddad2"
	gcm128C60 = "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e" +
		"21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
	gcm256C60 = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	zeros16 = "00000000000000000000000000000000"
	zeros12 = "000000000000000000000000"
)

// The AES-GCM cases are numbers 1 to 4 and 13 to 16 of the GCM specification
// submitted to NIST (appendix B); the ChaCha20-Poly1305 ones are RFC 8439,
// section 2.8.2 and appendix A.5.
var vectors = []vector{
	{"gcm 1", AES128GCM, zeros16, zeros12, "", "", "58e2fccefa7e3061367f1d57a4e7455a"},
	{"gcm 2", AES128GCM, zeros16, zeros12, zeros16, "", "0388dace60b6a392f328c2b971b2fe78" + "ab6e47d42cec13bdf53a67b21257bddf"},
	{"gcm 3", AES128GCM, gcmKey128, gcmNonce, gcmText64, "", gcm128C60 + "473f5985" + "4d5c2af327cd64a62cf35abd2ba6fab4"},
	{"gcm 4", AES128GCM, gcmKey128, gcmNonce, gcmText60, gcmAAD, gcm128C60 + "5bc94fbc3221a5db94fae95ae7121a47"},
	{"gcm 13", AES256GCM, zeros16 + zeros16, zeros12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
	{"gcm 14", AES256GCM, zeros16 + zeros16, zeros12, zeros16, "", "cea7403d4d606b6e074ec5d3baf39d18" + "d0d1c8a799996bf0265b98b5d48ab919"},
	{"gcm 15", AES256GCM, gcmKey256, gcmNonce, gcmText64, "", gcm256C60 + "898015ad" + "b094dac5d93471bdec1a502270e3cc6c"},
	{"gcm 16", AES256GCM, gcmKey256, gcmNonce, gcmText60, gcmAAD, gcm256C60 + "76fc6ece0f4e1768cddf8853bb2d551b"},
	{
		"rfc8439 2.8.2", ChaCha20Poly1305,
		"808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
		"070000004041424344454647",
		hex.EncodeToString([]byte("Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.")),
		"50515253c0c1c2c3c4c5c6c7",
		"d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
			"3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
			"92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
			"3ff4def08e4b7a9de576d26586cec64b6116" +
			"1ae10b594f09e26a7e902ecbd0600691",
	},
	{
		"rfc8439 A.5", ChaCha20Poly1305,
		"1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
		"000000000102030405060708",
		hex.EncodeToString([]byte("Internet-Drafts are draft documents valid for a maximum of six months and may be updated, " +
			"replaced, or obsoleted by other documents at any time. It is inappropriate to use Internet-Drafts as reference " +
			"material or to cite them other than as /\u201cwork in progress./\u201d")),
		"f33388860000000000004e91",
		"64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2" +
			"4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf" +
			"332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855" +
			"9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4" +
			"b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e" +
			"af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a" +
			"0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10" +
			"49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29" +
			"a6ad5cb4022b02709b" +
			"eead9d67890cbb22392336fea1851f38",
	},
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestKnownAnswersOfNISTAndRFC8439(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(1)
		for _, v := range vectors {
			var k Key
			if err := e.Expand(&k, v.alg, unhex(t, v.key)); err != nil {
				t.Fatal(err)
			}
			plain, sealed := unhex(t, v.plain), unhex(t, v.sealed)
			op := Op{Key: &k, Nonce: [NonceLen]byte(unhex(t, v.nonce)), AAD: unhex(t, v.aad), Src: plain, Dst: make([]byte, len(sealed))}
			if b.Seal([]Op{op}) != 0 || !bytes.Equal(op.Dst, sealed) {
				t.Errorf("%s: sealed %x, want %x", v.name, op.Dst, sealed)
			}
			op.Src, op.Dst = sealed, make([]byte, len(plain))
			if b.Open([]Op{op}) != 0 || !bytes.Equal(op.Dst, plain) {
				t.Errorf("%s: opened %x, want %x", v.name, op.Dst, plain)
			}
		}
	})
}
