package cryptobatch

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"reflect"

	"golang.org/x/crypto/chacha20poly1305"
)

// GenericName is the name of the engine that runs on any machine.
const GenericName = "generic"

// Where the generic engine leaves its two numbers in a Key: beside the header.
const (
	genericSlot = keyBlockLen - 8
	genericGen  = keyBlockLen - 4
)

// generic works one operation after the other with the standard library and
// x/crypto. It is the twin that every other engine is checked against. Built with
// the tag purego the libraries allocate for each operation; with their assembly
// they do not.
type generic struct {
	// owner is drawn at random for each instance, because the numbers in its
	// keys mean nothing to another one, such as that of the process before a restart.
	owner uint64
	slots slots
}

func newGeneric() (Engine, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("cryptobatch: engine identity: %w", err)
	}
	return &generic{owner: binary.LittleEndian.Uint64(b[:]) | 1<<63}, nil
}

func (g *generic) Name() string { return GenericName }

func (g *generic) Expand(k *Key, alg Algorithm, raw []byte) error {
	aead, err := newAEAD(alg, raw)
	if err != nil {
		return fmt.Errorf("cryptobatch: expand %v key: %w", alg, err)
	}
	n, gen, err := g.slots.put(aead)
	if err != nil {
		erase(aead)
		return fmt.Errorf("cryptobatch: expand %v key: %w", alg, err)
	}
	g.Wipe(k)
	binary.LittleEndian.PutUint32(k.block[genericSlot:], n)
	binary.LittleEndian.PutUint32(k.block[genericGen:], gen)
	k.alg, k.owner = alg, g.owner
	return nil
}

func (g *generic) Wipe(k *Key) {
	if k == nil {
		return
	}
	if k.owner == g.owner {
		if aead := g.slots.drop(k.slot()); aead != nil {
			erase(aead)
		}
	}
	*k = Key{}
}

func (g *generic) NewBatcher(int) Batcher { return &genericBatcher{g} }

func (g *generic) aead(k *Key) cipher.AEAD {
	if k == nil || k.owner != g.owner {
		return nil
	}
	return g.slots.get(k.slot())
}

func (k *Key) slot() (n, gen uint32) {
	return binary.LittleEndian.Uint32(k.block[genericSlot:]), binary.LittleEndian.Uint32(k.block[genericGen:])
}

type genericBatcher struct{ g *generic }

func (b *genericBatcher) Seal(ops []Op) (failed int) {
	for i := range ops {
		op := &ops[i]
		op.Status = b.seal(op)
		if op.Status != StatusOK {
			failed++
		}
	}
	return failed
}

func (b *genericBatcher) seal(op *Op) Status {
	aead := b.g.aead(op.Key)
	if aead == nil {
		return StatusBadKey
	}
	if s := checkSeal(op); s != StatusOK {
		return s
	}
	n := len(op.Src) + TagLen
	aead.Seal(op.Dst[:0:n], op.Nonce[:], op.Src, op.AAD)
	return StatusOK
}

func (b *genericBatcher) Open(ops []Op) (failed int) {
	for i := range ops {
		op := &ops[i]
		op.Status = b.open(op)
		if op.Status != StatusOK {
			failed++
		}
	}
	return failed
}

func (b *genericBatcher) open(op *Op) Status {
	aead := b.g.aead(op.Key)
	if aead == nil {
		return StatusBadKey
	}
	if s := checkOpen(op); s != StatusOK {
		return s
	}
	n := len(op.Src) - TagLen
	if _, err := aead.Open(op.Dst[:0:n], op.Nonce[:], op.Src, op.AAD); err != nil {
		// Both libraries zero it themselves today; neither promises to.
		clear(op.Dst[:n])
		return StatusAuthFailed
	}
	return StatusOK
}

func newAEAD(alg Algorithm, raw []byte) (cipher.AEAD, error) {
	want := alg.KeyLen()
	if want == 0 {
		return nil, ErrAlgorithm
	}
	if len(raw) != want {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrKeyLength, len(raw), want)
	}
	if alg == ChaCha20Poly1305 {
		return chacha20poly1305.New(raw)
	}
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err == nil && holdsCopy(aead, block) {
		erase(block)
	}
	return aead, err
}

// holdsCopy reports whether the GCM has the round keys by value, so that the
// block cipher it was made from is a second, now useless, copy of the key.
func holdsCopy(aead cipher.AEAD, block cipher.Block) bool {
	a, b := reflect.TypeOf(aead), reflect.TypeOf(block)
	if a.Kind() != reflect.Pointer || a.Elem().Kind() != reflect.Struct || b.Kind() != reflect.Pointer {
		return false
	}
	field, ok := a.Elem().FieldByName("cipher")
	return ok && field.Type == b.Elem()
}

// erase zeroes the struct behind a pointer. It is here because the standard
// library has no way to erase a key schedule.
func erase(secret any) {
	if v := reflect.ValueOf(secret); v.Kind() == reflect.Pointer {
		v.Elem().SetZero()
	}
}
