package cryptobatch

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// wycheproofSet is a file of cases with how many of them there are of each kind.
// Those with more associated data than MaxAAD must be refused.
type wycheproofSet struct {
	file                    string
	alg                     func(keyLen int) Algorithm
	valid, invalid, refused int
}

var wycheproofSets = []wycheproofSet{
	{"testdata/wycheproof_aes_gcm.txt", gcmOfKeyLen, 59, 54, 20},
	{"testdata/wycheproof_chacha20_poly1305.txt", func(int) Algorithm { return ChaCha20Poly1305 }, 247, 60, 9},
}

func gcmOfKeyLen(n int) Algorithm {
	if n == AES128GCM.KeyLen() {
		return AES128GCM
	}
	return AES256GCM
}

// wycheproofCase is one line of a file.
type wycheproofCase struct {
	number                 string
	valid                  bool
	key, nonce, aad, plain []byte
	sealed                 []byte
}

func readWycheproof(t *testing.T, file string) []wycheproofCase {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []wycheproofCase
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 8 || f[1] != "valid" && f[1] != "invalid" {
			t.Fatalf("%s: no case: %s", file, line)
		}
		b := make([][]byte, len(f))
		for i := 2; i < len(f); i++ {
			b[i] = unhex(t, strings.TrimPrefix(f[i], "-"))
		}
		cases = append(cases, wycheproofCase{f[0], f[1] == "valid", b[2], b[3], b[4], b[5], append(b[6], b[7]...)})
	}
	return cases
}

func TestProjectWycheproofsCasesComeOutAsItSays(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(4)
		for _, set := range wycheproofSets {
			var valid, invalid, refused int
			for _, c := range readWycheproof(t, set.file) {
				var k Key
				if err := e.Expand(&k, set.alg(len(c.key)), c.key); err != nil {
					t.Fatalf("case %s: %v", c.number, err)
				}
				want := StatusOK
				switch {
				case len(c.aad) > MaxAAD:
					want = StatusBadAAD
					refused++
				case c.valid:
					valid++
				default:
					want = StatusAuthFailed
					invalid++
				}
				c.seal(t, b, &k, want)
				c.open(t, b, &k, want)
				e.Wipe(&k)
			}
			if valid != set.valid || invalid != set.invalid || refused != set.refused {
				t.Errorf("%s: %d valid, %d invalid, %d refused; want %d, %d, %d",
					set.file, valid, invalid, refused, set.valid, set.invalid, set.refused)
			}
		}
	})
}

// bothPlaces makes the operation twice: apart and in place.
func (c *wycheproofCase) bothPlaces(k *Key, in []byte, outLen int) []Op {
	ops := make([]Op, 2)
	for i := range ops {
		ops[i] = Op{Key: k, Nonce: [NonceLen]byte(c.nonce), AAD: c.aad, Src: in, Dst: make([]byte, max(len(in), outLen))}
	}
	copy(ops[1].Dst, in)
	ops[1].Src = ops[1].Dst[:len(in)]
	return ops
}

// seal seals the plaintext; where the case is invalid, its tag must not come out.
func (c *wycheproofCase) seal(t *testing.T, b Batcher, k *Key, want Status) {
	t.Helper()
	ops := c.bothPlaces(k, c.plain, len(c.sealed))
	b.Seal(ops)
	for i := range ops {
		equal := bytes.Equal(ops[i].Dst[:len(c.sealed)], c.sealed)
		refused := ops[i].Status == StatusBadAAD
		if refused != (want == StatusBadAAD) || !refused && ops[i].Status != StatusOK || equal != (want == StatusOK) {
			t.Errorf("seal case %s, in place %v: %v, as listed %v; the case is %v", c.number, i == 1, ops[i].Status, equal, want)
		}
	}
}

// open opens the ciphertext; where it is not authentic, zeros must be left.
func (c *wycheproofCase) open(t *testing.T, b Batcher, k *Key, want Status) {
	t.Helper()
	ops := c.bothPlaces(k, c.sealed, len(c.plain))
	b.Open(ops)
	text := c.plain
	if want == StatusAuthFailed {
		text = make([]byte, len(c.plain))
	}
	for i := range ops {
		if ops[i].Status != want || want != StatusBadAAD && !bytes.Equal(ops[i].Dst[:len(c.plain)], text) {
			t.Errorf("open case %s, in place %v: %v or wrong bytes, want %v", c.number, i == 1, ops[i].Status, want)
		}
	}
}
