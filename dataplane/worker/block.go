package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/handshake"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// block is what a connection needs besides its record from the proof that its opener is real until it is set up. It holds what the
// control plane wants to see again with the next question, so that the control plane needs no memory of its own: the secret among
// it, which is erased with the block.
type block struct {
	synAck  [keptRoom]byte // headers of the far end's SYN-ACK as it came, until the host has answered it
	nSynAck uint16
	nSecret uint16
	secret  [shm.MaxSecret]byte
	nInit   [2]uint16
	init    [2][initRoom]byte // Init1 and Init2
	large   uint32            // buffer that holds the longer one instead, 0 none
	inLarge flowtable.Role    // whose it is

	flow           flowtable.Index
	since          int64  // ns of the monotonic clock
	older, younger uint32 // in the order of age; younger links the free ones
}

const (
	// keptRoom is the room for the headers of a SYN-ACK: Ethernet with two tags, IPv4 with options or IPv6 with some extension
	// headers, TCP with all options.
	keptRoom = 256
	// initRoom is the room for an Init message; those that carry bytes to be ignored may be longer, and take a large buffer.
	initRoom = 1024
	// largeInits is the number of large buffers.
	largeInits = 32
)

// keepSynAck copies the headers of the SYN-ACK; its data is not for the host (RFC 8547 section 4.7).
func (b *block) keepSynAck(p *packet.Packet) {
	if p.PayloadLen > 0 {
		p.SetPayloadLen(0)
	}
	complete(p, false, false)
	b.nSynAck = uint16(copy(b.synAck[:], p.Data()))
}

func (b *block) setSecret(s []byte) { b.nSecret = uint16(copy(b.secret[:], s)) }

// blocks is the stock of blocks of a worker. Index 0 means none.
type blocks struct {
	all              []block
	large            [largeInits + 1][]byte // made when first used
	freeLarge        []uint32
	free             uint32
	used             int
	oldest, youngest uint32
	peers            shares
}

func (s *blocks) init(n int) {
	s.peers.key = flowtable.NewFoldKey()
	s.all = make([]block, n+1)
	for i := n; i > 0; i-- {
		s.all[i].younger = s.free
		s.free = uint32(i)
	}
	s.freeLarge = make([]uint32, 0, largeInits)
	for i := uint32(largeInits); i > 0; i-- {
		s.freeLarge = append(s.freeLarge, i)
	}
}

// take returns a fresh block, the youngest, and its index, or nil when all are in use.
func (s *blocks) take(i flowtable.Index, k *flowtable.Key, now int64) (*block, uint32) {
	n := s.free
	if n == 0 {
		return nil, 0
	}
	b := &s.all[n]
	s.free = b.younger
	b.flow, b.since, b.older, b.younger = i, now, s.youngest, 0
	if s.youngest != 0 {
		s.all[s.youngest].younger = n
	} else {
		s.oldest = n
	}
	s.youngest = n
	s.used++
	s.peers.add(k, 1)
	return b, n
}

// put takes a block back and erases it.
func (s *blocks) put(n uint32, k *flowtable.Key) {
	b := &s.all[n]
	s.dropLarge(b)
	if b.older != 0 {
		s.all[b.older].younger = b.younger
	} else {
		s.oldest = b.younger
	}
	if b.younger != 0 {
		s.all[b.younger].older = b.older
	} else {
		s.youngest = b.older
	}
	*b = block{younger: s.free}
	s.free = n
	s.used--
	s.peers.add(k, -1)
}

// setInit keeps the Init message of a role, of at most shm.MaxInit bytes; false where no large buffer is free for it.
func (s *blocks) setInit(b *block, role flowtable.Role, msg []byte) bool {
	n := role - flowtable.RoleA
	if len(msg) <= initRoom {
		b.nInit[n] = uint16(copy(b.init[n][:], msg))
		return true
	}
	if b.large != 0 || len(s.freeLarge) == 0 || len(msg) > shm.MaxInit {
		return false
	}
	b.large, b.inLarge = s.freeLarge[len(s.freeLarge)-1], role
	s.freeLarge = s.freeLarge[:len(s.freeLarge)-1]
	if s.large[b.large] == nil {
		s.large[b.large] = make([]byte, shm.MaxInit)
	}
	b.nInit[n] = uint16(copy(s.large[b.large], msg))
	return true
}

// initOf returns the Init message of a role.
func (s *blocks) initOf(b *block, role flowtable.Role) []byte {
	n := role - flowtable.RoleA
	if b.large != 0 && b.inLarge == role {
		return s.large[b.large][:b.nInit[n]]
	}
	return b.init[n][:b.nInit[n]]
}

// dropLarge erases a block's large buffer and gives it back.
func (s *blocks) dropLarge(b *block) {
	if b.large == 0 {
		return
	}
	clear(s.large[b.large])
	s.freeLarge = append(s.freeLarge, b.large)
	b.large = 0
}

// wipe erases what is secret of a block that is kept on.
func (s *blocks) wipe(b *block) {
	s.dropLarge(b)
	clear(b.secret[:])
	clear(b.init[0][:])
	clear(b.init[1][:])
	b.nSecret, b.nInit = 0, [2]uint16{}
}

// Shares of the blocks. While a quarter or more is free anybody may have one. Below, a peer that holds more than its share waits; where
// none is free the peer that holds most gives one up, unless it is the one who asks.
const (
	leastBlocks  = 4  // of a peer, whatever others hold
	shareOf      = 64 // a peer's share while blocks are scarce is one in this many
	blocksLooked = 32 // the oldest ones, among which the one to give up is chosen

	blockTime = int64(5e9) // what a key exchange may take before others that wait have more right to its block
)

// takeBlock gives a connection a block, and reports false where its peer must wait: the segment that asked comes again.
func (w *Worker) takeBlock(i flowtable.Index, r *flowtable.Record, now int64) bool {
	s := &w.blocks
	all, held := len(s.all)-1, int(s.peers.of(&r.Key))
	scarce := (all-s.used)*4 < all
	if scarce && held >= max(leastBlocks, all/shareOf) || s.free == 0 && !w.giveUpBlock(held, now) {
		w.n[shm.SetupOverload]++
		return false
	}
	_, n := s.take(i, &r.Key, now)
	if n == 0 {
		w.n[shm.SetupOverload]++
		return false
	}
	r.Local.HsBlock = n
	return true
}

// freeBlock ends the use of the record's block, if it has one.
func (w *Worker) freeBlock(r *flowtable.Record) {
	if r.Local.HsBlock == 0 {
		return
	}
	w.blocks.put(r.Local.HsBlock, &r.Key)
	r.Local.HsBlock = 0
}

// giveUpBlock takes a block from the peer that holds most among the oldest ones, if that is more than held, else the oldest if it has
// had its time.
func (w *Worker) giveUpBlock(held int, now int64) bool {
	s := &w.blocks
	most, victim := uint32(max(held, leastBlocks)), uint32(0)
	for n, looked := s.oldest, 0; n != 0 && looked < blocksLooked; n, looked = s.all[n].younger, looked+1 {
		r := w.table.Record(s.all[n].flow)
		if c := s.peers.of(&r.Key); c > most {
			most, victim = c, n
		}
	}
	if victim == 0 && s.oldest != 0 && now-s.all[s.oldest].since >= blockTime {
		victim = s.oldest
	}
	if victim == 0 {
		return false
	}
	i := s.all[victim].flow
	e := handshake.Event{Kind: handshake.EventFailure, Failure: handshake.FailBind}
	w.step(i, w.table.Record(i), nil, &e, now)
	return s.free != 0
}
