package shm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/outcome"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/trace"
	"linecrypt/flowtable"
)

// Errors of segments.
var (
	ErrSegment = errors.New("not a usable segment")
	ErrVersion = errors.New("made by another version of linecrypt")
	ErrBusy    = errors.New("in use by another process")
)

type part uint8

const (
	partTool part = iota
	partData
	partControl
)

// Segment is a mapped segment. Views obtained from it are invalid after Close.
type Segment struct {
	path    string
	fd      int
	size    int // of the file, in bytes
	page    int // of the file's memory, in bytes
	mem     []byte
	hdr     *segmentHeader
	shape   shape // private copies: what is in memory may change under us
	regions regions
	table   *Table
	part    part
	locked  bool
}

// Adopt takes the data plane's part in the segment that an earlier data plane left, with its flows. P must describe the same
// segment; what it says of ports, polling and engine is written anew. The error wraps os.ErrNotExist when there is none, ErrVersion or
// ErrSegment when it does not fit, which Create then replaces, and ErrBusy when a data plane is running.
func Adopt(dir string, p Params) (*Segment, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("adopt segment: %w", err)
	}
	s, err := open(Path(dir, p.Name), partData)
	if err != nil {
		return nil, fmt.Errorf("adopt segment: %w", err)
	}
	if s.shape != p.shape() || *s.table != *NewTable() {
		_ = s.Close()
		return nil, fmt.Errorf("adopt segment %s: it has other sizes or counters: %w", s.path, ErrSegment)
	}
	s.describe(&p)
	s.hdr.claimed.Store(0)
	s.hdr.data.word.Store(0)
	s.hdr.data.enter(os.Getpid(), startTime())
	return s, nil
}

// OpenControl takes the control plane's part in a segment: its epoch grows. ErrBusy when a control plane is running.
func OpenControl(dir, name string) (*Segment, error) {
	s, err := openNamed(dir, name, partControl)
	if err != nil {
		return nil, err
	}
	s.hdr.control.enter(os.Getpid(), startTime())
	return s, nil
}

// Open maps a segment for reading.
func Open(dir, name string) (*Segment, error) { return openNamed(dir, name, partTool) }

func openNamed(dir, name string, as part) (*Segment, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	s, err := open(Path(dir, name), as)
	if err != nil {
		return nil, fmt.Errorf("open segment: %w", err)
	}
	return s, nil
}

func open(path string, as part) (*Segment, error) {
	flags, protection := unix.O_RDWR, unix.PROT_READ|unix.PROT_WRITE
	if as == partTool {
		flags, protection = unix.O_RDONLY, unix.PROT_READ
	}
	fd, size, err := openFile(path, flags)
	if err != nil {
		return nil, err
	}
	s := &Segment{path: path, fd: fd, part: as}
	if err := s.attach(size, protection); err != nil {
		_ = s.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *Segment) attach(size int64, protection int) error {
	if size < int64(unsafe.Sizeof(segmentHeader{})) || size > 1<<46 {
		return fmt.Errorf("file of %d bytes: %w", size, ErrSegment)
	}
	s.size = int(size)
	if err := s.lockPart(); err != nil {
		return err
	}
	var err error
	if s.page, err = pageBytes(s.fd); err != nil {
		return err
	}
	if s.size%s.page != 0 {
		return fmt.Errorf("file of %d bytes, not of whole pages of %d: %w", size, s.page, ErrSegment)
	}
	if err := s.mapFile(protection); err != nil {
		return err
	}
	return s.validate()
}

func (s *Segment) lockPart() error {
	at := int64(lockControl)
	switch s.part {
	case partTool:
		return nil
	case partData:
		at = lockData
	}
	if err := lock(s.fd, at); err != nil {
		return err
	}
	if !sameFile(s.fd, s.path) {
		return ErrBusy
	}
	return nil
}

// validate checks the header and keeps what memory may not change later.
func (s *Segment) validate() error {
	h := s.hdr
	if h.magic != segmentMagic {
		return fmt.Errorf("magic %#x: %w", h.magic, ErrSegment)
	}
	if h.version != segmentVersion || h.layout != layoutHash() {
		return fmt.Errorf("format %d with layout %016x, not %d with %016x: %w", h.version, h.layout, segmentVersion, layoutHash(), ErrVersion)
	}
	s.shape = h.shape
	r, err := s.shape.regions()
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrSegment)
	}
	if alignTo(r.size, s.page) != len(s.mem) || h.size != uint64(len(s.mem)) {
		return fmt.Errorf("file of %d bytes, header says %d, parts take %d: %w", len(s.mem), h.size, r.size, ErrSegment)
	}
	s.regions = r
	s.table, err = readTable(s.mem[r.table : r.table+tableBytes])
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrSegment)
	}
	if _, err := s.Resumption(); err != nil {
		return fmt.Errorf("%w: %w", err, ErrSegment)
	}
	for i := range s.Workers() {
		if _, _, err := s.rings(i); err != nil {
			return fmt.Errorf("worker %d: %w: %w", i, err, ErrSegment)
		}
	}
	return nil
}

// mapFile maps the file, keeps it out of core dumps, and locks it into memory where the system lets us.
func (s *Segment) mapFile(protection int) error {
	mem, err := unix.Mmap(s.fd, 0, s.size, protection, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %d bytes: %w", s.size, err)
	}
	s.mem = mem
	s.hdr = (*segmentHeader)(unsafe.Pointer(unsafe.SliceData(mem)))
	if err := unix.Madvise(mem, unix.MADV_DONTDUMP); err != nil {
		return fmt.Errorf("keep it out of core dumps: %w", err)
	}
	if s.page > pageSize {
		s.locked = true // huge pages are never swapped
		return nil
	}
	// Records of many flows lie far apart. The kernel gives huge pages where /sys/kernel/mm/transparent_hugepage/shmem_enabled is advise.
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	if s.part != partTool {
		s.locked = unix.Mlock(mem) == nil
	}
	return nil
}

func (s *Segment) format(p *Params) error {
	h := s.hdr
	h.version, h.layout = segmentVersion, layoutHash()
	h.size, h.shape, h.created = uint64(s.size), s.shape, time.Now().UnixNano()
	_, _ = rand.Read(h.nonce[:])
	h.aware.key = flowtable.NewFoldKey()
	s.describe(p)
	s.table.put(s.mem[s.regions.table:])
	if err := resumption.Format(s.mem[s.regions.secrets:s.regions.workers], int(s.shape.Resumption)); err != nil {
		return err
	}
	for i := range s.Workers() {
		base := s.mem[s.regions.workers+i*s.regions.perOne:]
		if _, err := FormatRing(base[s.regions.requests:], int(s.shape.RequestRing)); err != nil {
			return err
		}
		if _, err := FormatRing(base[s.regions.replies:], int(s.shape.ReplyRing)); err != nil {
			return err
		}
	}
	h.data.enter(os.Getpid(), startTime())
	h.magic = segmentMagic
	return nil
}

func (s *Segment) describe(p *Params) {
	h := s.hdr
	for _, t := range []struct {
		room []byte
		text string
	}{
		{h.name[:], p.Name}, {h.inside[:], p.Inside}, {h.outside[:], p.Outside}, {h.engine[:], p.Engine},
		{h.kinds[flowtable.Inside][:], p.Kinds[flowtable.Inside]}, {h.kinds[flowtable.Outside][:], p.Kinds[flowtable.Outside]}, {h.poll[:], p.Poll},
	} {
		clear(t.room)
		copy(t.room[:len(t.room)-1], t.text)
	}
	for s := range h.ports.links {
		h.ports.links[s].Store(uint32(LinkUnknown))
	}
	for i, core := range p.Cores {
		h.cores[i] = int32(core)
	}
}

// Close unmaps the segment and gives this process's part up. The file stays: see Unlink.
func (s *Segment) Close() error {
	var err error
	if s.mem != nil {
		err = unix.Munmap(s.mem)
		s.mem, s.hdr = nil, nil
	}
	if s.fd >= 0 {
		err = errors.Join(err, unix.Close(s.fd))
		s.fd = -1
	}
	return err
}

// Unlink removes the file's name, if it is still this segment's. Only the data plane does so, on a clean stop.
func (s *Segment) Unlink() error {
	if s.part != partData || !s.Current() {
		return nil
	}
	return unix.Unlink(s.path)
}

// Current reports whether the file's name still leads to this segment: false after the data plane made a new one, and while it does so.
func (s *Segment) Current() bool { return s.hdr.claimed.Load() == 0 && sameFile(s.fd, s.path) }

// Worker returns worker i's part, i from 0 to Workers()-1.
func (s *Segment) Worker(i int) *Worker {
	if i < 0 || i >= s.Workers() {
		return nil
	}
	requests, replies, err := s.rings(i)
	if err != nil {
		return nil
	}
	base := s.mem[s.regions.workers+i*s.regions.perOne:][:s.regions.perOne]
	size := flowtable.Size(s.shape.layout())
	tracing, err := trace.Attach(base[s.regions.trace:])
	if err != nil {
		return nil
	}
	notes, err := outcome.Attach(base[s.regions.outcomes:])
	if err != nil {
		return nil
	}
	return &Worker{
		Counters:   (*Block)(unsafe.Pointer(unsafe.SliceData(base))),
		Requests:   requests,
		Replies:    replies,
		FlowMemory: base[s.regions.flows:][:size:size],
		Layout:     s.shape.layout(),
		Trace:      tracing,
		Outcomes:   notes,
	}
}

// Resumption returns a view of the session secrets that are kept to resume with, nil where none are.
func (s *Segment) Resumption() (*resumption.Table, error) {
	return resumption.Attach(s.mem[s.regions.secrets:s.regions.workers], int(s.shape.Resumption))
}

func (s *Segment) rings(i int) (requests, replies Ring, err error) {
	base := s.mem[s.regions.workers+i*s.regions.perOne:]
	if requests, err = AttachRing(base[s.regions.requests:], int(s.shape.RequestRing)); err != nil {
		return requests, replies, err
	}
	replies, err = AttachRing(base[s.regions.replies:], int(s.shape.ReplyRing))
	return requests, replies, err
}

// Worker is one worker's part of a segment.
type Worker struct {
	Counters   *Block
	Requests   Ring // data plane to control plane
	Replies    Ring // control plane to data plane
	FlowMemory []byte
	Layout     flowtable.Layout // of FlowMemory
	Trace      trace.Region     // control plane to data plane, and back
	Outcomes   outcome.Region   // data plane to whoever reads
}

// Flows returns a view of the worker's flow table, which the worker must have made by flowtable.New in FlowMemory.
func (w *Worker) Flows() (*flowtable.Table, error) { return flowtable.Attach(w.FlowMemory, w.Layout) }
