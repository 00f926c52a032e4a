package responder

import (
	"bytes"

	"linecrypt/ctrlplane/tcpcrypt"
)

// The blob that carries an opener's private key from Init1 to the keys: version, TEP, length of the scalar, scalar.
const (
	secretVersion = 1
	secretHeader  = 3
)

// appendSecret appends the blob of key.
func appendSecret(dst []byte, key *tcpcrypt.PrivateKey) []byte {
	scalar := key.Bytes()
	dst = append(dst, secretVersion, byte(key.TEP()), byte(len(scalar)))
	dst = append(dst, scalar...)
	clear(scalar)
	return dst
}

// readSecret returns the private key of a blob for the negotiated TEP and the Init1 that was sent with it. The public key
// in that Init1 ties the two together, so that a blob in the wrong place yields an error and not a wrong session.
func readSecret(blob []byte, tep tcpcrypt.TEP, init1 []byte) (*tcpcrypt.PrivateKey, Reason) {
	if len(blob) < secretHeader || blob[0] != secretVersion || int(blob[2]) != len(blob)-secretHeader {
		return nil, BadSecret
	}
	if tcpcrypt.TEP(blob[1]) != tep {
		return nil, SecretMismatch
	}
	sent, err := tcpcrypt.ParseInit1(tep, init1)
	if err != nil {
		return nil, BadRequest
	}
	key, err := tcpcrypt.NewPrivateKey(tep, blob[secretHeader:])
	if err != nil {
		return nil, BadSecret
	}
	if !bytes.Equal(key.Public(), sent.Public) {
		key.Wipe()
		return nil, SecretMismatch
	}
	return key, 0
}
