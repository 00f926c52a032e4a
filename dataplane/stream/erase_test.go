package stream

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// secretsOf are the master key of a generation and both traffic keys that come from it.
func secretsOf(master tcpcrypt.MasterKey, aead tcpcrypt.AEAD) map[string][]byte {
	s := map[string][]byte{"master key": bytes.Clone(master[:])}
	for _, d := range []tcpcrypt.Direction{tcpcrypt.AB, tcpcrypt.BA} {
		k := master.Traffic(aead, d)
		s[fmt.Sprintf("key %v", d)] = bytes.Clone(k.Key[:16])
		s[fmt.Sprintf("nonce randomizer %v", d)] = bytes.Clone(k.NR[:])
	}
	return s
}

// memory is all that a gateway keeps of its connection: the record and the ledger of the shared segment, expanded keys, and old ones.
func (g *gateway) memory() map[string][]byte {
	c := g.core
	return map[string][]byte{
		"record":    unsafe.Slice((*byte)(unsafe.Pointer(&g.rec)), flowtable.RecordSize),
		"ledger":    unsafe.Slice((*byte)(unsafe.Pointer(c.chunks.At(0))), (c.chunks.Len()-1)*int(unsafe.Sizeof(flowtable.Chunk{}))),
		"key slots": c.keys.mem.Bytes,
		"a key":     unsafe.Slice((*byte)(unsafe.Pointer(&c.keys.traffic)), unsafe.Sizeof(c.keys.traffic)),
		"old keys":  unsafe.Slice((*byte)(unsafe.Pointer(&c.oldKeys[0])), len(c.oldKeys)*int(unsafe.Sizeof(oldKey{}))),
	}
}

// found returns where a secret lies.
func (g *gateway) found(secret []byte) (places []string) {
	for name, mem := range g.memory() {
		if bytes.Contains(mem, secret) {
			places = append(places, name)
		}
	}
	return places
}

func TestNothingOfOldKeysIsLeftOnceBothEndsHaveMovedOn(t *testing.T) {
	for _, aead := range tcpcrypt.AEADs() {
		t.Run(aead.String(), func(t *testing.T) {
			p := newPair(t, 11, pattern(1, 20000), pattern(2, 20000), func(c *Config) { c.RekeyFrames = 3 })
			p.link.aead = aead
			p.client.fin, p.server.fin = false, false
			p.start()
			sent := func() bool { return p.client.una == p.client.total() && p.server.una == p.server.total() }
			if !p.w.run(p.w.now+600e9, sent) {
				t.Fatal("stuck")
			}
			p.w.run(p.w.now+20e9, func() bool { return false })
			for _, g := range []*gateway{p.a, p.b} {
				p.w.now += 1e6
				g.core.Rekey(testFlow, &g.rec, p.w.now, g.out)
				p.w.run(p.w.now+20e9, func() bool { return false })
				g.core.begin(g.out)
			}
			for _, g := range []*gateway{p.a, p.b} {
				gens := g.rec.Rare.SealGen
				if gens < 5 || g.rec.Rare.OpenGen != gens {
					t.Fatalf("generations %d and %d", gens, g.rec.Rare.OpenGen)
				}
				g.core.begin(g.out)
				master := tcpcrypt.MasterKey{1, 2, 3}
				for gen := range gens {
					for name, secret := range secretsOf(master, aead) {
						if places := g.found(secret); len(places) > 0 {
							t.Errorf("%s: %s of generation %d of %d is in %v", g.name, name, gen, gens, places)
						}
					}
					master = master.Next()
				}
				// The search finds what is there: the keys in use.
				for name, secret := range secretsOf(master, aead) {
					if len(g.found(secret)) == 0 {
						t.Errorf("%s: %s in use is nowhere", g.name, name)
					}
				}
				g.freeSlotsAreEmpty(t)
			}
		})
	}
}

// freeSlotsAreEmpty demands that no slot of an expanded key that is not in use holds anything.
func (g *gateway) freeSlotsAreEmpty(t *testing.T) {
	t.Helper()
	empty := make([]byte, cryptobatch.KeySize)
	for _, i := range g.core.keys.free {
		if at := int(i) * cryptobatch.KeySize; !bytes.Equal(g.core.keys.mem.Bytes[at:at+cryptobatch.KeySize], empty) {
			t.Errorf("%s: free slot %d is not empty", g.name, i)
		}
	}
}

func TestNothingOfAnyKeyIsLeftOfAConnectionThatIsOver(t *testing.T) {
	p := newPair(t, 12, pattern(1, 20000), pattern(2, 20000), func(c *Config) { c.RekeyFrames = 3 })
	p.start()
	p.finish()
	for _, g := range []*gateway{p.a, p.b} {
		g.core.begin(g.out)
		master := tcpcrypt.MasterKey{1, 2, 3}
		for gen := range 200 {
			for name, secret := range secretsOf(master, p.link.aead) {
				if places := g.found(secret); len(places) > 0 {
					t.Errorf("%s: %s of generation %d is in %v", g.name, name, gen, places)
				}
			}
			master = master.Next()
		}
		g.freeSlotsAreEmpty(t)
	}
}
