package cryptobatch

import (
	"reflect"
	"sync"
	"testing"
)

func newGenericForTest(t *testing.T) *generic {
	t.Helper()
	return mustEngine(t, GenericName).(*generic)
}

func TestGenericWipeErasesTheLibrarysKeySchedule(t *testing.T) {
	g := newGenericForTest(t)
	for _, k := range testKeys(t, g, newRand(40), 1) {
		aead := g.aead(k.key)
		n, _ := k.key.slot()
		if reflect.ValueOf(aead).Elem().IsZero() {
			t.Fatalf("%v: the expanded AEAD is zero before it is wiped", k.alg)
		}
		g.Wipe(k.key)
		if !reflect.ValueOf(aead).Elem().IsZero() {
			t.Errorf("%v: the AEAD still holds key material", k.alg)
		}
		if g.slots.at(n).aead != nil {
			t.Errorf("%v: the engine still refers to the AEAD", k.alg)
		}
	}
}

func TestGenericCopyOfAWipedKeyDoesNotReachTheSlotsNextOwner(t *testing.T) {
	g := newGenericForTest(t)
	b, rng := g.NewBatcher(1), newRand(41)
	first := testKeys(t, g, rng, 1)[0]
	stale := *first.key
	g.Wipe(first.key)
	next := newTestKey(t, g, AES128GCM, randomBytes(rng, 16))
	if !refused(b, &stale) {
		t.Error("a stale copy is not refused")
	}
	g.Wipe(&stale)
	if !next.works(b) {
		t.Error("wiping a stale copy wiped the slot's next owner")
	}
}

func TestGenericReusesTheMemoryOfWipedKeys(t *testing.T) {
	g := newGenericForTest(t)
	var k Key
	for range 5000 {
		if err := g.Expand(&k, ChaCha20Poly1305, make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
	}
	g.Wipe(&k)
	if g.slots.used > 2 || g.slots.inUse != 0 {
		t.Errorf("%d slots taken, %d in use after one key was expanded again and again", g.slots.used, g.slots.inUse)
	}
}

func TestGenericRefusesKeysBeyondItsTable(t *testing.T) {
	g := newGenericForTest(t)
	g.slots.used = maxSlots
	k := Key{owner: 1}
	if err := g.Expand(&k, AES128GCM, make([]byte, 16)); err == nil || k != (Key{owner: 1}) {
		t.Errorf("expanding a key too many: %v, key changed: %v", err, k != Key{owner: 1})
	}
}

func TestGenericKeysMayBeExpandedAndUsedOnSeveralCoresAtOnce(t *testing.T) {
	g := newGenericForTest(t)
	var wg sync.WaitGroup
	for core := range 4 {
		wg.Go(func() {
			b, rng := g.NewBatcher(1), newRand(byte(50+core))
			for range 100 {
				for _, k := range testKeys(t, g, rng, 10) {
					if !k.works(b) {
						t.Errorf("core %d: %v key is wrong", core, k.alg)
					}
					if rng.Uint64()%4 != 0 {
						g.Wipe(k.key)
					}
				}
			}
		})
	}
	wg.Wait()
}
