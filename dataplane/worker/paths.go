package worker

import "linecrypt/flowtable"

const (
	pathSets = 512
	pathWays = 8

	// pathLife is how long a path MTU is believed before the path is tried with larger packets again, in ns (RFC 1191
	// section 6.3, RFC 8201 section 4).
	pathLife = int64(600e9)
	// pathSweep is the least time between two looks for entries that have expired, in ns.
	pathSweep = int64(1e9)
	// pathSteps is how many smaller MTUs of a path count as they are told, and pathPause the least time between those that follow, in ns.
	// Every change makes all connections look their paths up again: who tells of ever smaller ones could make that happen with every
	// packet. What is told too early is told again by the next error.
	pathSteps = 8
	pathPause = int64(1e9)
)

// pathKey names the far end of a path: an address, and where it is.
type pathKey struct {
	addr [16]byte // IPv4 as ::ffff:a.b.c.d
	vlan uint32
	side flowtable.Side
}

// knownPath is an entry of the table; mtu 0 marks a free one.
type knownPath struct {
	key     pathKey
	mtu     uint16 // longest IP packet that the path takes
	steps   uint8  // how often it became smaller, up to pathSteps
	learned int64  // ns of the monotonic clock of the last error that told it,
	changed int64  // and of the first
}

// paths is what a worker knows of the paths that take less than the ports do, by destination: what one ICMP error tells
// serves every connection to that destination. The table is bounded. A set that is full loses the oldest entry of the
// network that has most entries in it, so that who has many addresses pushes out its own.
type paths struct {
	sets []pathSet
	gen  uint32 // grows with every change, from 1 on, so that a record knows whether it is up to date
	used int
	due  int64 // when to look for expired entries, 0 while there are none
}

type pathSet [pathWays]knownPath

func (t *paths) init() {
	t.sets = make([]pathSet, pathSets)
	t.gen = 1
}

// set returns where a key's entry may lie. The hash is keyed by a secret seed, so that nobody can aim at a set.
func (t *paths) set(table *flowtable.Table, k *pathKey) *pathSet {
	h := table.Hash(&flowtable.Key{Outside: k.addr, VLAN: k.vlan, InsidePort: uint16(k.side)})
	return &t.sets[h%pathSets]
}

// lookup returns the MTU of a path, 0 where nothing is known.
func (t *paths) lookup(table *flowtable.Table, k *pathKey) uint16 {
	if t.used == 0 {
		return 0
	}
	s := t.set(table, k)
	for i := range s {
		if s[i].mtu != 0 && s[i].key == *k {
			return s[i].mtu
		}
	}
	return 0
}

// pathNews says what became of a path MTU that was heard of.
type pathNews uint8

const (
	pathKnown   pathNews = iota // the table has it, or a smaller one
	pathLearned                 // it is new, or smaller than what was known
	pathEvicted                 // the same, and another path's was forgotten
)

// learn enters the MTU of a path. One that is larger than what is known says nothing: packets of that size were not sent.
func (t *paths) learn(table *flowtable.Table, k *pathKey, mtu uint16, now int64) pathNews {
	if mtu == 0 {
		return pathKnown
	}
	s := t.set(table, k)
	var free *knownPath
	for i := range s {
		e := &s[i]
		switch {
		case e.mtu == 0:
			if free == nil {
				free = e
			}
		case e.key == *k && mtu > e.mtu:
			return pathKnown
		case e.key == *k:
			e.learned = now
			if mtu == e.mtu || e.steps == pathSteps && now-e.changed < pathPause {
				return pathKnown
			}
			e.mtu, e.changed, e.steps = mtu, now, min(e.steps+1, pathSteps)
			t.gen++
			return pathLearned
		}
	}
	news := pathLearned
	if free == nil {
		free, news = s.victim(), pathEvicted
		t.used--
	}
	*free = knownPath{key: *k, mtu: mtu, learned: now, changed: now}
	t.used++
	t.gen++
	if t.due == 0 {
		t.due = now + pathLife
	}
	return news
}

// victim returns the entry that a full set loses.
func (s *pathSet) victim() *knownPath {
	var counts [pathWays]int
	for i := range s {
		prefix := flowtable.PeerOf(&s[i].key.addr)
		for j := range s {
			if flowtable.PeerOf(&s[j].key.addr) == prefix {
				counts[i]++
			}
		}
	}
	worst := 0
	for i := range s {
		if counts[i] > counts[worst] || counts[i] == counts[worst] && s[i].learned < s[worst].learned {
			worst = i
		}
	}
	return &s[worst]
}

// expire forgets what was learned too long ago.
func (t *paths) expire(now int64) {
	if t.due == 0 || now < t.due {
		return
	}
	oldest := now
	for i := range t.sets {
		for j := range t.sets[i] {
			e := &t.sets[i][j]
			switch {
			case e.mtu == 0:
			case now-e.learned >= pathLife:
				*e = knownPath{}
				t.used--
				t.gen++
			default:
				oldest = min(oldest, e.learned)
			}
		}
	}
	t.due = 0
	if t.used > 0 {
		t.due = max(oldest+pathLife, now+pathSweep)
	}
}
