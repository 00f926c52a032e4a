package ends

import (
	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
)

// keys are the traffic keys of the far ends, expanded: of each connection, or of all where they share a master key. There a connection
// has one of two pairs, because the roles of host A and host B have keys of their own.
//
// Of a connection's own keys, the last two generations of each direction are kept, the older one for what comes or goes again. Those of a
// shared master key are kept for good, as all connections go through the same ones.
type keys struct {
	shared  bool
	all     []cryptobatch.Key // by connection, direction and generation's last bit; by generation and tcpcrypt.Direction where they are shared
	nr      [][tcpcrypt.NonceLen]byte
	masters []tcpcrypt.MasterKey // of the last generation, by connection and direction; one where they are shared
	gens    uint32               // that are made of a shared master key
	traffic tcpcrypt.TrafficKey  // being expanded
}

// kept is how many generations of a connection's own keys are kept.
const kept = 2

// roomy is for how many generations of a shared master key there is room without allocating.
const roomy = 512

func (k *keys) init(e *Ends) error {
	if k.shared = e.shared != nil; !k.shared {
		n := either * len(e.flows)
		k.all, k.nr = make([]cryptobatch.Key, kept*n), make([][tcpcrypt.NonceLen]byte, kept*n)
		k.masters = make([]tcpcrypt.MasterKey, n)
		return nil
	}
	k.all, k.nr = make([]cryptobatch.Key, 0, either*roomy), make([][tcpcrypt.NonceLen]byte, 0, either*roomy)
	k.masters = []tcpcrypt.MasterKey{*e.shared}
	return k.share(e)
}

// share makes the next generation of a shared master key.
func (k *keys) share(e *Ends) error {
	if k.gens > 0 {
		k.masters[0] = k.masters[0].Next()
	}
	for _, d := range []tcpcrypt.Direction{tcpcrypt.AB, tcpcrypt.BA} {
		k.all, k.nr = append(k.all, cryptobatch.Key{}), append(k.nr, [tcpcrypt.NonceLen]byte{})
		if err := k.expand(e, len(k.all)-1, &k.masters[0], d, e.sc.Traffic.AEAD); err != nil {
			return err
		}
	}
	k.gens++
	return nil
}

func (k *keys) expand(e *Ends, i int, master *tcpcrypt.MasterKey, d tcpcrypt.Direction, aead tcpcrypt.AEAD) error {
	t := &k.traffic
	*t = master.Traffic(aead, d)
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
		k.masters[either*n+uint32(d)] = *master
		if err := k.expand(e, k.at(f, n, d, 0), master, f.traffic(d), aead); err != nil {
			return err
		}
	}
	return nil
}

// next makes the keys of generation gen of a direction, the one behind the last (RFC 8548 section 3.8).
func (k *keys) next(e *Ends, f *flow, n uint32, d direction, gen uint32) error {
	if k.shared {
		for k.gens <= gen {
			if err := k.share(e); err != nil {
				return err
			}
		}
		return nil
	}
	m := &k.masters[either*n+uint32(d)]
	*m = m.Next()
	return k.expand(e, k.at(f, n, d, gen), m, f.traffic(d), e.sc.Traffic.AEAD)
}

// traffic returns the direction of the traffic keys: the one who opened the connection is host A.
func (f *flow) traffic(d direction) tcpcrypt.Direction {
	if (d == up) == f.byHost {
		return tcpcrypt.AB
	}
	return tcpcrypt.BA
}

// at returns where the keys of a generation are.
func (k *keys) at(f *flow, n uint32, d direction, gen uint32) int {
	if k.shared {
		return either*int(gen) + int(f.traffic(d))
	}
	return kept*int(either*n+uint32(d)) + int(gen%kept)
}

// of returns the key of a generation of a direction, and its nonce randomizer.
func (k *keys) of(f *flow, n uint32, d direction, gen uint32) (*cryptobatch.Key, *[tcpcrypt.NonceLen]byte) {
	i := k.at(f, n, d, gen)
	return &k.all[i], &k.nr[i]
}

func (k *keys) wipe(engine cryptobatch.Engine) {
	for i := range k.all {
		if k.all[i].Algorithm() != 0 {
			engine.Wipe(&k.all[i])
		}
	}
	clear(k.nr)
	clear(k.masters)
}
