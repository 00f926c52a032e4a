package cryptobatch

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
	"unsafe"
)

func TestKeyIsFlatAndOfEightCacheLines(t *testing.T) {
	if n := unsafe.Sizeof(Key{}); n != KeySize || n%64 != 0 {
		t.Errorf("a Key has %d bytes, want %d", n, KeySize)
	}
	typ := reflect.TypeFor[Key]()
	for i := range typ.NumField() {
		switch f := typ.Field(i); f.Type.Kind() {
		case reflect.Array, reflect.Uint64, reflect.Uint16:
		default:
			t.Errorf("field %s is a %v, which may hold a pointer", f.Name, f.Type)
		}
	}
}

func TestAlgorithmNumbersAreThoseOfRFC8548(t *testing.T) {
	for alg, want := range map[Algorithm]struct {
		number uint16
		keyLen int
		name   string
	}{
		AES128GCM:        {1, 16, "aes-128-gcm"},
		AES256GCM:        {2, 32, "aes-256-gcm"},
		ChaCha20Poly1305: {0x10, 32, "chacha20-poly1305"},
		0:                {0, 0, "aead-0x0000"},
		7:                {7, 0, "aead-0x0007"},
	} {
		if uint16(alg) != want.number || alg.KeyLen() != want.keyLen || alg.String() != want.name {
			t.Errorf("%v: number %#x, key of %d bytes; want %+v", alg, uint16(alg), alg.KeyLen(), want)
		}
	}
}

// works reports whether a tag made under the expanded key is the reference's.
func (k testKey) works(b Batcher) bool {
	op := []Op{{Key: k.key, Dst: make([]byte, TagLen)}}
	return b.Seal(op) == 0 && bytes.Equal(op[0].Dst, k.aead.Seal(nil, make([]byte, NonceLen), nil, nil))
}

// refused reports whether both directions refuse the key, touching nothing.
func refused(b Batcher, k *Key) bool {
	dst := bytes.Repeat([]byte{canary}, 64)
	ops := []Op{{Key: k, Dst: dst}}
	sealed := b.Seal(ops) == 1 && ops[0].Status == StatusBadKey
	ops[0].Src = make([]byte, 32)
	return sealed && b.Open(ops) == 1 && ops[0].Status == StatusBadKey &&
		bytes.Equal(dst, bytes.Repeat([]byte{canary}, 64))
}

func TestExpandRefusesWrongLengthAndKeepsTheKey(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(1)
		for _, k := range testKeys(t, e, newRand(30), 1) {
			for n := 0; n <= 70; n++ {
				for _, alg := range Algorithms() {
					if n == alg.KeyLen() {
						continue
					}
					if err := e.Expand(k.key, alg, make([]byte, n)); !errors.Is(err, ErrKeyLength) {
						t.Errorf("%v with %d bytes: %v, want %v", alg, n, err, ErrKeyLength)
					}
				}
			}
			for _, alg := range []Algorithm{0, 3, 0x0f, 0x11, 0xffff} {
				if err := e.Expand(k.key, alg, make([]byte, 32)); !errors.Is(err, ErrAlgorithm) {
					t.Errorf("algorithm %d: %v, want %v", alg, err, ErrAlgorithm)
				}
			}
			if k.key.Algorithm() != k.alg || !k.works(b) {
				t.Errorf("%v: a refused Expand spoiled the key", k.alg)
			}
		}
	})
}

func TestExpandDoesNotReferToTheRawKey(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng, b := newRand(31), e.NewBatcher(1)
		for _, alg := range Algorithms() {
			raw := randomBytes(rng, alg.KeyLen())
			k := newTestKey(t, e, alg, raw)
			k.aead = reference(t, alg, bytes.Clone(raw))
			clear(raw)
			if !k.works(b) {
				t.Errorf("%v: erasing the raw key changed the expanded one", alg)
			}
		}
	})
}

func TestKeyExpandedAgainIsTheNewKeyOnly(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		rng, b := newRand(32), e.NewBatcher(1)
		var k Key
		for range 20 {
			for _, alg := range Algorithms() {
				raw := randomBytes(rng, alg.KeyLen())
				if err := e.Expand(&k, alg, raw); err != nil {
					t.Fatal(err)
				}
				if !(testKey{alg, raw, &k, reference(t, alg, raw)}).works(b) || k.Algorithm() != alg {
					t.Fatalf("expanding %v over another key does not give that key", alg)
				}
			}
		}
	})
}

func TestWipedKeyIsZeroAndRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(1)
		for _, k := range testKeys(t, e, newRand(33), 1) {
			e.Wipe(k.key)
			if *k.key != (Key{}) || k.key.Algorithm() != 0 {
				t.Errorf("%v: the wiped key is not the zero Key", k.alg)
			}
			if !refused(b, k.key) {
				t.Errorf("%v: a wiped key is not refused", k.alg)
			}
			e.Wipe(k.key)
		}
		e.Wipe(nil)
	})
}

func TestKeyOfAnotherEngineAndGarbageAreRefused(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b, rng := e.NewBatcher(1), newRand(34)
		mine := testKeys(t, e, rng, 1)
		for _, name := range Names() {
			if name == e.Name() && name != GenericName {
				continue // engines without state of their own may take each other's keys
			}
			for _, k := range testKeys(t, mustEngine(t, name), rng, 1) {
				if !refused(b, k.key) {
					t.Errorf("a %v key of another %s engine is not refused", k.alg, name)
				}
			}
		}
		for range 2000 {
			garbage := *(*Key)(unsafe.Pointer(unsafe.SliceData(randomBytes(rng, KeySize))))
			if !refused(b, &garbage) {
				t.Fatal("a key of random bytes is not refused")
			}
			e.Wipe(&garbage)
		}
		for _, k := range mine {
			if !k.works(b) {
				t.Errorf("%v: wiping what is no key of the engine spoiled one of its keys", k.alg)
			}
		}
	})
}

func TestManyKeysStayApart(t *testing.T) {
	eachEngine(t, func(t *testing.T, e Engine) {
		b := e.NewBatcher(1)
		keys := testKeys(t, e, newRand(35), 1000)
		for i := 0; i < len(keys); i += 3 {
			e.Wipe(keys[i].key)
		}
		for i, k := range keys {
			if i%3 == 0 && !refused(b, k.key) || i%3 != 0 && !k.works(b) {
				t.Fatalf("key %d of %d, %v, is wrong after others were wiped", i, len(keys), k.alg)
			}
		}
	})
}
