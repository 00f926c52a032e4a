package identity

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestKeyIsReadBackFromItsFileWhichOnlyItsOwnerMayRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	old := unix.Umask(0)
	err = Write(path, key)
	unix.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	got, err := Read(path)
	if err != nil || !got.Equal(key) {
		t.Errorf("%v", err)
	}
	if err := Write(path, key); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written over: %v", err)
	}
}

func TestKeyFileThatOthersMayUseIsRefusedWithWhatToDo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key, _ := Generate()
	if err := Write(path, key); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601, 0o777} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %#o: %v", mode, err)
		}
	}
}

func TestWhatIsNoKeyFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty":   nil,
		"text":    []byte("not a key\n"),
		"damaged": pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der[:20]}),
		"ECDSA":   pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der}),
		"other":   pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
		"huge":    bytes.Repeat([]byte("x"), maxFile+1),
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Read(dir); !errors.Is(err, ErrFile) {
		t.Errorf("folder: %v", err)
	}
	if _, err := Read(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "key generate") {
		t.Errorf("none: %v", err)
	}
}

func TestPublicKeyIsReadBackFromItsText(t *testing.T) {
	key, _ := Generate()
	public := key.Public().(ed25519.PublicKey)
	text := Public(public)
	if got, err := Parse(text); err != nil || !got.Equal(public) || len(text) != 44 {
		t.Errorf("%q: %v", text, err)
	}
	for _, bad := range []string{"", "x", text[1:], text + "A", text[:43] + "!", strings.Repeat("A", 44), " " + text} {
		if _, err := Parse(bad); !errors.Is(err, ErrText) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzKeyFile(f *testing.F) {
	key, _ := Generate()
	path := filepath.Join(f.TempDir(), "key")
	if err := Write(path, key); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, b []byte) {
		if key, err := decode(b); err == nil && len(key) != ed25519.PrivateKeySize || err != nil && !errors.Is(err, ErrFile) {
			t.Errorf("%d bytes of key, %v", len(key), err)
		}
	})
}

func TestKeysByWhichAnybodySignsAreNoPublicKeys(t *testing.T) {
	for _, text := range []string{
		strings.Repeat("00", 32),
		"01" + strings.Repeat("00", 31),
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", // the other sign
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ec" + strings.Repeat("ff", 30) + "7f",
		"ed" + strings.Repeat("ff", 30) + "7f",
		"ee" + strings.Repeat("ff", 30) + "7f",
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if !forgeable(key) {
			t.Errorf("%s: no signature was made without a private key", text)
		}
		if _, err := Parse(Public(key)); !errors.Is(err, ErrText) {
			t.Errorf("%s: %v", text, err)
		}
	}
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if public := key.Public().(ed25519.PublicKey); forgeable(public) || weak(public) {
		t.Errorf("%x: a signature was made without a private key", public)
	}
}

// forgeable tries to sign without a private key: with the neutral element for R and 0 for S, which is a signature of one message in as many as
// the key has multiples.
func forgeable(key ed25519.PublicKey) bool {
	sig := make([]byte, ed25519.SignatureSize)
	sig[0] = 1 // the neutral element
	for i := range 256 {
		if ed25519.Verify(key, []byte{byte(i)}, sig) {
			return true
		}
	}
	return false
}
