package crypto

import "linecrypt/cryptobatch"

// algorithm is an AEAD under the names that it has in configuration and with the peers.
type algorithm struct {
	name    string // as in the configuration key aeads
	id      cryptobatch.Algorithm
	dpdk    string // --aead-algo
	openssl string // -evp
}

var algorithms = []algorithm{
	{"AES_128_GCM", cryptobatch.AES128GCM, "aes-gcm", "aes-128-gcm"},
	{"AES_256_GCM", cryptobatch.AES256GCM, "aes-gcm", "aes-256-gcm"},
	{"CHACHA20_POLY1305", cryptobatch.ChaCha20Poly1305, "chacha20-poly1305", "chacha20-poly1305"},
}

func algorithmNames() []string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = a.name
	}
	return names
}

func algorithmNamed(name string) (algorithm, bool) {
	for _, a := range algorithms {
		if a.name == name {
			return a, true
		}
	}
	return algorithm{}, false
}

// The operations.
const (
	opSeal = "seal"
	opOpen = "open"
)

func opNames() []string { return []string{opSeal, opOpen} }

// Sizes of plaintext, in bytes, that are measured by default, and the largest that a peer takes.
var defaultSizes = []int{64, 256, 512, 1024, 1460, 4096, 16384}

const maxSize = 16384

// Burst is how many operations an engine or a DPDK driver gets at a time.
const Burst = 32

// aadLen is the length of the associated data of each operation.
const aadLen = 8

// job is one thing to be measured.
type job struct {
	alg  algorithm
	op   string
	size int
}

// contender is what is measured: an engine or a peer.
type contender interface {
	name() string
	does(alg algorithm) bool
	// measure returns operations per second.
	measure(r *runner, j job) (float64, error)
	// shape returns how many operations it takes at a time, and under how many keys.
	shape() (burst, keys int)
	// drop gives up what is kept for an algorithm, after its last measurement.
	drop()
}
