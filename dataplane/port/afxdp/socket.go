package afxdp

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/hugepages"
)

// How many chunks there are: for received frames of all queues of an interface together and of one of them at least, and for sent ones. They
// are powers of two, since each ring has room for all its chunks.
const (
	rxChunks      = 2048
	rxChunksJumbo = 4096 // where a frame takes several
	rxChunksLeast = 1024
	txChunks      = 2048
)

// maxTxBudget is XDP_MAX_TX_SKB_BUDGET (Linux 6.17): how many chunks one system call sends. Without it there are txBatch.
const (
	maxTxBudget = 9
	txBatch     = 32
)

// socket is an AF_XDP socket with its memory and rings. A worker uses them; the sizes of the rings are such that a chunk always finds room
// where it goes next.
type socket struct {
	fd    int
	umem  *hugepages.Memory
	chunk int // bytes of a chunk
	maps  [][]byte

	rx, tx     ring[unix.XDPDesc]
	fill, done ring[uint64]
	received   int      // bytes of the memory that received frames lie in; sent ones lie behind
	free       []uint64 // chunks for frames to be sent, up to its capacity
	whole      bool     // one system call sends all that the ring holds
	waits      bool     // the ring may hold what nobody has told the kernel of
	gather     gather
}

// shape is how many chunks a socket has, and whether frames may take several.
type shape struct {
	rx, tx int
	pieces bool
}

// shapes returns the shapes of the sockets of n receive queues. The first one alone sends.
func shapes(n int, pieces bool) []shape {
	total := rxChunks
	if pieces {
		total = rxChunksJumbo
	}
	each := total
	for each > rxChunksLeast && each*n > total {
		each /= 2
	}
	all := make([]shape, n)
	for i := range all {
		all[i] = shape{rx: each, pieces: pieces}
	}
	all[0].tx = txChunks
	return all
}

func (s shape) bytes() int { return (s.rx + s.tx) * os.Getpagesize() }

// hasPieces reports whether the kernel has frames of several chunks. It looks at the flags that a socket is bound with before it looks
// for the interface, of which there is none with the number 0.
func hasPieces() bool {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return true // whoever opens the port learns why
	}
	defer unix.Close(fd)
	return !errors.Is(unix.Bind(fd, &unix.SockaddrXDP{Flags: unix.XDP_USE_SG}), unix.EINVAL)
}

// openSocket opens a socket on a receive queue of an interface. It receives nothing before a program leads frames to it.
func openSocket(ifindex, queue int, of shape) (*socket, error) {
	s := &socket{fd: -1, chunk: os.Getpagesize()}
	if err := s.open(ifindex, queue, of); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *socket) open(ifindex, queue int, of shape) (err error) {
	if s.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
		return fmt.Errorf("AF_XDP socket: %w", err)
	}
	if s.umem, err = hugepages.Map(of.bytes(), false); err != nil {
		return fmt.Errorf("memory of an AF_XDP socket: %w", err)
	}
	umem := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.umem.Bytes)))), Len: uint64(of.bytes()), Size: uint32(s.chunk)}
	if err := s.set(unix.XDP_UMEM_REG, unsafe.Pointer(&umem), unsafe.Sizeof(umem)); err != nil {
		return fmt.Errorf("register %d MiB of memory: %w", of.bytes()>>20, err)
	}
	if err := s.openRings(of); err != nil {
		return err
	}
	s.fillUp(of)
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	if of.pieces {
		flags |= unix.XDP_USE_SG
	}
	if err := unix.Bind(s.fd, &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: uint32(queue)}); err != nil {
		return fmt.Errorf("bind to receive queue %d: %w", queue, err)
	}
	return nil
}

// openRings makes the rings and maps them. A socket that only receives has a ring of completed frames too, because the kernel wants one.
func (s *socket) openRings(of shape) error {
	done := max(of.tx, 1)
	for _, r := range []struct{ opt, n int }{
		{unix.XDP_UMEM_FILL_RING, of.rx}, {unix.XDP_UMEM_COMPLETION_RING, done}, {unix.XDP_RX_RING, of.rx}, {unix.XDP_TX_RING, of.tx},
	} {
		if r.n == 0 {
			continue
		}
		if err := unix.SetsockoptInt(s.fd, unix.SOL_XDP, r.opt, r.n); err != nil {
			return fmt.Errorf("make a ring of %d entries: %w", r.n, err)
		}
	}
	var at unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(at))
	if err := getsockopt(s.fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), &size); err != nil {
		return fmt.Errorf("read where rings lie: %w", err)
	}
	if size != uint32(unsafe.Sizeof(at)) {
		return errors.New("the kernel's rings are those of a Linux before 5.4")
	}
	err := mapRing(s, &s.fill, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr, of.rx)
	if err == nil {
		err = mapRing(s, &s.done, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, done)
	}
	if err == nil {
		err = mapRing(s, &s.rx, unix.XDP_PGOFF_RX_RING, at.Rx, of.rx)
	}
	if err == nil && of.tx > 0 {
		err = mapRing(s, &s.tx, unix.XDP_PGOFF_TX_RING, at.Tx, of.tx)
		s.whole = unix.SetsockoptInt(s.fd, unix.SOL_XDP, maxTxBudget, of.tx) == nil
	}
	return err
}

func mapRing[E any](s *socket, r *ring[E], pgoff int64, at unix.XDPRingOffset, n int) error {
	var entry E
	mem, err := unix.Mmap(s.fd, pgoff, int(at.Desc)+n*int(unsafe.Sizeof(entry)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map a ring: %w", err)
	}
	s.maps = append(s.maps, mem)
	base := unsafe.Pointer(unsafe.SliceData(mem))
	r.producer = (*atomic.Uint32)(unsafe.Add(base, at.Producer))
	r.consumer = (*atomic.Uint32)(unsafe.Add(base, at.Consumer))
	r.flags = (*atomic.Uint32)(unsafe.Add(base, at.Flags))
	r.entries = unsafe.Slice((*E)(unsafe.Add(base, at.Desc)), n)
	return nil
}

// fillUp gives the kernel the chunks for what is received, and keeps those for what is sent.
func (s *socket) fillUp(of shape) {
	s.received = of.rx * s.chunk
	for i := range of.rx {
		*s.fill.slot(uint32(i)) = uint64(i * s.chunk)
	}
	s.fill.publish(uint32(of.rx))
	s.free = make([]uint64, 0, of.tx)
	for i := range of.tx {
		s.free = append(s.free, uint64(s.received+i*s.chunk))
	}
}

// piece returns the bytes that a descriptor of a received frame names, and the chunk that they lie in; not what is outside of a chunk.
func (s *socket) piece(d unix.XDPDesc) (b []byte, chunk uint64, ok bool) {
	size := uint64(s.chunk)
	if d.Addr >= uint64(s.received) {
		return nil, 0, false
	}
	at := d.Addr % size
	chunk = d.Addr - at
	if uint64(d.Len) > size-at {
		return nil, chunk, false
	}
	return s.umem.Bytes[d.Addr : d.Addr+uint64(d.Len)], chunk, true
}

// stats returns what the kernel counts of the socket.
func (s *socket) stats() (st unix.XDPStatistics) {
	size := uint32(unsafe.Sizeof(st))
	_ = getsockopt(s.fd, unix.XDP_STATISTICS, unsafe.Pointer(&st), &size)
	return st
}

func (s *socket) set(opt int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(opt), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func getsockopt(fd, opt int, value unsafe.Pointer, size *uint32) error {
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(value), uintptr(unsafe.Pointer(size)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (s *socket) close() error {
	var errs []error
	for _, m := range s.maps {
		errs = append(errs, unix.Munmap(m))
	}
	s.maps = nil
	if s.fd >= 0 {
		errs = append(errs, unix.Close(s.fd))
		s.fd = -1
	}
	if s.umem != nil {
		errs = append(errs, s.umem.Close())
		s.umem = nil
	}
	return errors.Join(errs...)
}
