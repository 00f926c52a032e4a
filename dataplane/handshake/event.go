package handshake

import (
	"linecrypt/ctrlplane/shm"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// EventKind says what happened.
type EventKind uint8

// The events.
const (
	EventSegment EventKind = iota // Seg came; its checksum is right
	EventReply                    // the control plane answered the open question by Reply
	EventTimer                    // time has passed: Deadline may be over
	EventInit                     // the far end's Init message is complete
	EventFailure                  // the action that the last step asked for cannot be done, for Failure
	EventConfirm                  // the control plane says of a connection that is held that its far end is authenticated
	EventRefused                  // an ICMP error came, which is intact: the segment of the host's with number Seg.Seq was refused on its way, or at its end
	numEvents
)

// Failure says what the worker could not do. What the step before it changed is undone, but for FailRing.
type Failure uint8

// The failures.
const (
	FailNone   Failure = iota
	FailBlock          // no block for the connection: all are in use, or its peer has its share
	FailPlace          // no place among the established connections
	FailBuffer         // no packet buffer, or no entry in the ledger, for an Init message
	FailKeys           // no key slot
	FailLarge          // no room to keep a large Init message
	FailRing           // the ring to the control plane is full
	FailEdit           // the segment cannot be changed as asked
	FailBind           // the block was taken by a connection that has more right to it
	FailClaim          // the secret to resume with has gone to somebody else
	numFailures
)

// Event is one thing that happened to a connection, and what is true of its surroundings at that time.
type Event struct {
	Kind    EventKind
	Seg     Segment
	Reply   shm.ReplyKind
	Hold    bool // of a reply with keys: the host is to wait for EventConfirm
	Failure Failure
	// ByRecord: of FailPlace, the rules in force let the connection pass only as long as it is remembered.
	ByRecord bool

	Rules *Rules // in force
	Alive bool   // the control plane can be expected to answer
	Old   bool   // of a new connection: the host may believe in an older one between the same ends, which was encrypted
	Takes bool   // there are encrypted connections between the same hosts: the path takes ENO
	Aware bool   // of a new connection: the application at the host's end asked for the application-aware bit
	Hates bool   // the far end is one of those whose paths are remembered to hate ENO

	// Resume is what a new connection may resume, and of one whose SYN offers to, what that was; its Handle is 0 where there is none.
	Resume Resumption

	// Expect are the sequence numbers at which a RST of the far end is exact, once Init messages are under way: the next one and
	// the one acknowledged last.
	Expect [2]uint32
}

// Segment is what set-up reads of a TCP segment.
type Segment struct {
	From      flowtable.Side
	Flags     uint8 // as in the header
	ENOs      uint8 // ENO options
	Malformed bool  // the options cannot be walked
	Binding   bool  // an option ties the byte stream (MPTCP, TCP-AO, MD5), or is ENO in its experimental form
	Init      bool  // the payload begins with the magic number of an Init1 message
	Frames    bool  // the payload looks like whole frames
	Long      bool  // the headers are too long to be kept in a block
	Seq, Ack  uint32
	Win       uint32 // in bytes
	Payload   int    // bytes
	Room      int    // bytes that an ENO option may take, once a Fast Open cookie is gone
	ENO       []byte // the first ENO option, kind and length included; nil when there is none
}

const (
	fin, syn, rst, ack = packet.FlagFIN, packet.FlagSYN, packet.FlagRST, packet.FlagACK
)

func (s *Segment) reset() bool  { return s.Flags&rst != 0 }
func (s *Segment) opens() bool  { return s.Flags&(syn|ack|rst) == syn }
func (s *Segment) synAck() bool { return s.Flags&(syn|ack|rst) == syn|ack }

// plainACK reports an ACK without SYN.
func (s *Segment) plainACK() bool { return s.Flags&(syn|ack|rst) == ack }
