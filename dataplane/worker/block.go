package worker

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/mbuf"
	"linecrypt/flowtable"
)

// block is what a connection needs besides its record while it is set up. It holds what the control plane wants to see
// again with the next question, so that the control plane needs no memory of its own: the secret among it, which is
// erased with the block.
type block struct {
	held     *mbuf.Mbuf // segment that waits for the control plane; the worker owns it
	copy     *mbuf.Mbuf // the SYN-ACK as the host got it, until the host has answered
	deadline int64      // set-up is given up
	ask      int64      // the question is asked again, 0 when none is open
	interval int64      // to the next repetition
	kind     shm.RequestKind
	asked    uint8 // repetitions of the open question
	nENO     [2]uint8
	eno      [2][shm.MaxENO]byte // of host A and of host B, as on the wire
	nSecret  uint16
	secret   [shm.MaxSecret]byte
	nInit    [2]uint16
	init     [2][]byte // Init1 and Init2
	next     uint32
	flow     flowtable.Index
}

// Bounds of the Init messages for which a block has room from the start; larger ones, which carry bytes to be ignored,
// cost an allocation.
const initRoom = 1024

func (b *block) setENO(role int, o []byte) { b.nENO[role] = uint8(copy(b.eno[role][:], o)) }

func (b *block) enoOf(role int) []byte { return b.eno[role][:b.nENO[role]] }

func (b *block) setSecret(s []byte) { b.nSecret = uint16(copy(b.secret[:], s)) }

// setInit keeps an Init message of at most shm.MaxInit bytes.
func (b *block) setInit(n int, msg []byte) {
	if len(msg) > len(b.init[n]) {
		b.init[n] = make([]byte, len(msg))
	}
	b.nInit[n] = uint16(copy(b.init[n], msg))
}

func (b *block) initOf(n int) []byte { return b.init[n][:b.nInit[n]] }

// wipe erases the block but for the room it has for messages.
func (b *block) wipe() {
	init := b.init
	clear(init[0])
	clear(init[1])
	*b = block{init: init}
}

// blocks is the stock of blocks of a worker. Index 0 means none.
type blocks struct {
	all  []block
	free uint32
	used int
}

func (s *blocks) init(n int) {
	s.all = make([]block, n+1)
	for i := n; i > 0; i-- {
		s.all[i].init[0] = make([]byte, initRoom)
		s.all[i].init[1] = make([]byte, initRoom)
		s.all[i].next = s.free
		s.free = uint32(i)
	}
}

// take returns a fresh block and its index, or nil when all are in use.
func (s *blocks) take() (*block, uint32) {
	i := s.free
	if i == 0 {
		return nil, 0
	}
	b := &s.all[i]
	s.free = b.next
	b.next = 0
	s.used++
	return b, i
}

// put takes a block back and erases it. What it held has been freed.
func (s *blocks) put(i uint32) {
	b := &s.all[i]
	b.wipe()
	b.next = s.free
	s.free = i
	s.used--
}
