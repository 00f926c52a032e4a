package ends

import (
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
)

// keys are the traffic keys of the far ends, expanded: of each connection, or of all where they share a master key. There a connection
// has one of two pairs, because the roles of host A and host B have keys of their own.
type keys struct {
	shared bool
	all    []cryptobatch.Key // by connection and direction; by tcpcrypt.Direction where they are shared
	nr     [][tcpcrypt.NonceLen]byte
}

func (k *keys) init(e *Ends) error {
	n := len(e.flows)
	if k.shared = e.shared != nil; k.shared {
		n = 1
	}
	k.all, k.nr = make([]cryptobatch.Key, either*n), make([][tcpcrypt.NonceLen]byte, either*n)
	if !k.shared {
		return nil
	}
	for _, d := range []tcpcrypt.Direction{tcpcrypt.AB, tcpcrypt.BA} {
		if err := k.expand(e, int(d), e.shared, d, e.sc.Traffic.AEAD); err != nil {
			return err
		}
	}
	return nil
}

func (k *keys) expand(e *Ends, i int, master *tcpcrypt.MasterKey, d tcpcrypt.Direction, aead tcpcrypt.AEAD) error {
	t := master.Traffic(aead, d)
	defer t.Wipe()
	k.nr[i] = t.NR
	return e.engine.Expand(&k.all[i], cryptobatch.Algorithm(aead), t.Key[:t.KeyLen])
}

// install puts the keys of a connection's life in place.
func (k *keys) install(e *Ends, f *flow, n uint32, master *tcpcrypt.MasterKey, aead tcpcrypt.AEAD) error {
	if k.shared {
		return nil
	}
	for d := up; d < either; d++ {
		if err := k.expand(e, int(either*n)+int(d), master, f.traffic(d), aead); err != nil {
			return err
		}
	}
	return nil
}

// traffic returns the direction of the traffic keys: the one who opened the connection is host A.
func (f *flow) traffic(d direction) tcpcrypt.Direction {
	if (d == up) == f.byHost {
		return tcpcrypt.AB
	}
	return tcpcrypt.BA
}

// of returns the key of a direction and its nonce randomizer.
func (k *keys) of(f *flow, n uint32, d direction) (*cryptobatch.Key, *[tcpcrypt.NonceLen]byte) {
	i := int(either*n) + int(d)
	if k.shared {
		i = int(f.traffic(d))
	}
	return &k.all[i], &k.nr[i]
}

func (k *keys) wipe(engine cryptobatch.Engine) {
	for i := range k.all {
		if k.all[i].Algorithm() != 0 {
			engine.Wipe(&k.all[i])
		}
	}
	clear(k.nr)
}
