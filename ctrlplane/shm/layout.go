package shm

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"unsafe"

	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/policy"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/trace"
	"linecrypt/flowtable"
)

// MaxWorkers is the largest number of workers of one segment.
const MaxWorkers = 256

// ErrParams is wrapped by errors about what a segment is to be made of.
var ErrParams = errors.New("bad segment parameters")

const (
	segmentMagic   = 0x7470_7972_6365_6e6c // "lnecrypt"
	segmentVersion = 1
	pageSize       = 4096
	textRoom       = 128
	maxName        = 48
)

// Params says what a segment is made of.
type Params struct {
	Name        string // of the instance: letters, digits, '-', '_' and '.', at most 48
	Inside      string // port names as configured; what does not fit in 127 bytes is cut off
	Outside     string
	Kinds       [flowtable.NumSides]string // of the ports by Side, at most 15 bytes each
	Poll        string                     // how workers wait for packets, at most 15 bytes
	Engine      string                     // of the AEADs
	Cores       []int                      // core of each worker, -1 for one that is not pinned; their number is that of the workers
	Flows       flowtable.Layout
	RequestRing int // bytes of each worker's rings, powers of two from 128 KiB; 0 for DefaultRing
	ReplyRing   int
	Resumption  int // session secrets that are kept to resume with; 0: none
}

// SharedQueue ends the kind of a port whose one queue all workers share, which share out in software what it receives.
const SharedQueue = "+spread"

// DefaultRing is the size of a ring's buffer in bytes.
const DefaultRing = 1 << 20

func (p *Params) check() error {
	if err := checkName(p.Name); err != nil {
		return err
	}
	if len(p.Cores) == 0 || len(p.Cores) > MaxWorkers {
		return fmt.Errorf("%d workers, not 1 to %d: %w", len(p.Cores), MaxWorkers, ErrParams)
	}
	_, err := p.shape().regions()
	return err
}

func checkName(name string) error {
	bad := name == "" || len(name) > maxName || name[0] == '.'
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		bad = bad || !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	}
	if bad {
		return fmt.Errorf("name %q: %w", name, ErrParams)
	}
	return nil
}

func (p *Params) shape() shape {
	s := shape{Workers: uint32(len(p.Cores)), Capacity: p.Flows.Capacity, Chunks: p.Flows.Chunks, RequestRing: uint32(p.RequestRing), ReplyRing: uint32(p.ReplyRing), Resumption: uint32(p.Resumption)}
	if s.RequestRing == 0 {
		s.RequestRing = DefaultRing
	}
	if s.ReplyRing == 0 {
		s.ReplyRing = DefaultRing
	}
	return s
}

// shape holds the numbers that all places in a segment follow from.
type shape struct {
	Workers     uint32
	Capacity    uint32
	Chunks      uint32
	RequestRing uint32
	ReplyRing   uint32
	Resumption  uint32
}

// regions are the places in a segment in bytes: the header, the counter table, the control plane's counters, the session
// secrets to resume with, the sets of rules, then each worker's part.
type regions struct {
	table    int
	control  int
	secrets  int
	rules    int // images of sets of rules
	workers  int
	perOne   int
	requests int // within a worker's part, behind its counters
	replies  int
	flows    int
	verdicts int
	trace    int
	outcomes int
	size     int
}

func alignPage(n int) int { return alignTo(n, pageSize) }

// alignTo rounds up to a multiple of a power of two.
func alignTo(n, to int) int { return (n + to - 1) &^ (to - 1) }

func (s shape) layout() flowtable.Layout {
	return flowtable.Layout{Capacity: s.Capacity, Chunks: s.Chunks}
}

func (s shape) regions() (regions, error) {
	if err := s.layout().Check(); err != nil {
		return regions{}, err
	}
	requests, replies := RingBytes(int(s.RequestRing)), RingBytes(int(s.ReplyRing))
	if requests == 0 || replies == 0 {
		return regions{}, fmt.Errorf("rings of %d and %d bytes: %w", s.RequestRing, s.ReplyRing, ErrRingSize)
	}
	if s.Workers == 0 || s.Workers > MaxWorkers {
		return regions{}, fmt.Errorf("%d workers: %w", s.Workers, ErrParams)
	}
	if s.Resumption > resumption.MaxCapacity {
		return regions{}, fmt.Errorf("%d session secrets, not 0 to %d: %w", s.Resumption, resumption.MaxCapacity, ErrParams)
	}
	var r regions
	r.table = alignPage(int(unsafe.Sizeof(segmentHeader{})))
	r.control = alignPage(r.table + tableBytes)
	r.secrets = alignPage(r.control + int(unsafe.Sizeof(Block{})))
	r.rules = alignPage(r.secrets + resumption.Size(int(s.Resumption)))
	r.workers = alignPage(r.rules + ruleSets*policy.MaxImage)
	r.requests = alignPage(int(unsafe.Sizeof(Block{})))
	r.replies = alignPage(r.requests + requests)
	r.flows = alignPage(r.replies + replies)
	r.verdicts = alignPage(r.flows + flowtable.Size(s.layout()))
	r.trace = alignPage(r.verdicts + int(unsafe.Sizeof(Verdicts{})))
	r.outcomes = alignPage(r.trace + trace.Size)
	r.perOne = alignPage(r.outcomes + outcome.Size)
	r.size = r.workers + int(s.Workers)*r.perOne
	return r, nil
}

// layoutHash changes whenever a type that lies in the segment does, so that programs that were built from different sources
// refuse each other.
func layoutHash() uint64 {
	h := fnv.New64a()
	for _, t := range []reflect.Type{
		reflect.TypeFor[segmentHeader](), reflect.TypeFor[ringControl](), reflect.TypeFor[Block](),
		reflect.TypeFor[flowtable.Record](), reflect.TypeFor[flowtable.Chunk](),
		reflect.TypeFor[trace.Filter](), reflect.TypeFor[trace.Event](), reflect.TypeFor[outcome.Note](),
	} {
		describe(h, t)
	}
	fmt.Fprint(h, flowtable.NumStates, flowtable.RecordStride, tableBytes, requestFixed, replyFixed, replyFlags, keyBlock, endRequests, endReplies, OrderSize, endOrders, NumReasons, policy.TermsSize, policy.MaxImage, policy.MaxNames, policy.NumVerdicts, trace.Size, trace.NumStations, outcome.Size, outcome.PerPart)
	for s := range flowtable.NumStates {
		fmt.Fprint(h, s)
	}
	return h.Sum64()
}

func describe(w io.Writer, t reflect.Type) {
	fmt.Fprintf(w, "%s %d;", t.Kind(), t.Size())
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			fmt.Fprintf(w, "%s %d ", f.Name, f.Offset)
			describe(w, f.Type)
		}
	case reflect.Array:
		describe(w, t.Elem())
	}
}
