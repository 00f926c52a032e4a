// Package identity is the Ed25519 key by which gateways know each other: its file, and the text in which its public half is given to
// others. It is not about the keys of connections, which come from tcpcrypt.
//
// A key file is PEM with PKCS #8 ("PRIVATE KEY"), as openssl writes and reads it, and only its owner may read it.
package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Errors.
var (
	// ErrMode means that others than the owner of a key file may read or write it.
	ErrMode = errors.New("others than its owner may use the key file")
	// ErrFile means that a file is no key file.
	ErrFile = errors.New("not a key file")
	// ErrText means that a text is no public key.
	ErrText = errors.New("not a public key")
)

// maxFile is the largest key file in bytes.
const maxFile = 4096

const pemType = "PRIVATE KEY"

// Generate makes a key.
func Generate() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	return key, nil
}

// Write makes a file for a key, which must not exist yet: a key that others have been told is not to be lost by mistake.
func Write(path string, key ed25519.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	defer clear(der)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("key file: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: pemType, Bytes: der})
	defer clear(text)
	err = f.Chmod(0o600) // whatever the umask
	if err == nil {
		_, err = f.Write(text)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return nil
}

// Read reads a key file. The error wraps ErrMode, ErrFile or that of the file system, and says what to do.
func Read(path string) (ed25519.PrivateKey, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("key file: %w; `linecrypt key generate %s` makes one", err, path)
		}
		return nil, fmt.Errorf("key file: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("key file %s: %w", path, err)
	case !st.Mode().IsRegular() || st.Size() > maxFile:
		return nil, fmt.Errorf("%s: %w: want a file of at most %d bytes", path, ErrFile, maxFile)
	case st.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s has mode %#o: %w; `chmod 600 %s` changes that, and if somebody may have read it, make another key", path, st.Mode().Perm(), ErrMode, path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	defer clear(text)
	key, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

func decode(text []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemType {
		return nil, fmt.Errorf("%w: it has no PEM block %q", ErrFile, pemType)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	key, ok := any.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it holds a key of another kind than Ed25519", ErrFile)
	}
	return key, nil
}

// Public returns the text of a key's public half: base64, 44 characters.
func Public(key ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(key) }

// Parse reads such a text. The error wraps ErrText.
func Parse(text string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%q is %w: want the 44 characters that `linecrypt key show` prints", text, ErrText)
	}
	if weak(b) {
		return nil, fmt.Errorf("%q is %w of anybody's: signatures by it can be made without a private key; want what `linecrypt key show` prints", text, ErrText)
	}
	return b, nil
}

// weak reports whether a public key is a point of small order, as all zeros are: whoever likes signs by it, with one try in a few. These are
// all their y coordinates, also as no point is written but read; the highest bit is the sign of x.
func weak(key ed25519.PublicKey) bool {
	y := slices.Clone(key)
	y[31] &= 0x7f
	switch hex.EncodeToString(y) {
	case "0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f":
		return true
	}
	return false
}
