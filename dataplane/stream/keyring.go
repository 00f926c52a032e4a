package stream

import (
	"errors"
	"fmt"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/hugepages"
	"linecrypt/flowtable"
)

var errNoKeySlot = errors.New("no key slot is free")

// keyring is the slab of expanded keys of a Core. Slot 0 means none. A key that is given up stays valid until the
// operations that may refer to it have been worked.
type keyring struct {
	engine  cryptobatch.Engine
	mem     *hugepages.Memory
	slab    []cryptobatch.Key
	free    []uint32
	retired []uint32
	traffic tcpcrypt.TrafficKey // while it is expanded: an engine is handed it through an interface, so that it cannot lie on the stack
}

func (k *keyring) init(engine cryptobatch.Engine, n int, reserved bool) error {
	mem, err := hugepages.Map((n+1)*cryptobatch.KeySize, reserved)
	if err != nil {
		return err
	}
	_ = mem.Lock() // secrets stay, where the limits allow it, out of swap
	k.engine, k.mem, k.slab = engine, mem, sliceOf[cryptobatch.Key](mem.Bytes, n+1)
	k.free, k.retired = make([]uint32, 0, n), make([]uint32, 0, n)
	for i := n; i > 0; i-- {
		k.free = append(k.free, uint32(i))
	}
	return nil
}

func (k *keyring) close() {
	for i := range k.slab {
		k.engine.Wipe(&k.slab[i])
	}
	_ = k.mem.Close()
	k.mem, k.slab, k.free, k.retired = nil, nil, nil, nil
}

// expand puts a traffic key into a free slot.
func (k *keyring) expand(t *tcpcrypt.TrafficKey) (uint32, error) {
	n := len(k.free)
	if n == 0 {
		return 0, errNoKeySlot
	}
	i := k.free[n-1]
	if err := k.engine.Expand(&k.slab[i], cryptobatch.Algorithm(t.AEAD), t.Key[:t.KeyLen]); err != nil {
		return 0, fmt.Errorf("expand key: %w", err)
	}
	k.free = k.free[:n-1]
	return i, nil
}

// install makes s and nr the secrets of the generation that master begins, and returns the slot of its expanded key.
func (k *keyring) install(s *flowtable.Secrets, nr *[12]byte, aead tcpcrypt.AEAD, master tcpcrypt.MasterKey, d tcpcrypt.Direction) (uint32, error) {
	t := &k.traffic
	*t = master.Traffic(aead, d)
	defer t.Wipe()
	i, err := k.expand(t)
	if err != nil {
		return 0, err
	}
	s.Master, *nr = master, t.NR
	return i, nil
}

// wipe erases a key that no pending operation refers to.
func (k *keyring) wipe(i uint32) {
	if i != 0 {
		k.engine.Wipe(&k.slab[i])
		k.free = append(k.free, i)
	}
}

// retire gives a key up once the operations that are pending have been worked.
func (k *keyring) retire(i uint32) {
	if i != 0 {
		k.retired = append(k.retired, i)
	}
}

// sweep wipes the keys that were given up. No operation may be pending.
func (k *keyring) sweep() {
	for _, i := range k.retired {
		k.wipe(i)
	}
	k.retired = k.retired[:0]
}
