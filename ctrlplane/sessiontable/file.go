package sessiontable

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Errors of files.
var (
	ErrFile   = errors.New("not a usable session table")
	ErrBusy   = errors.New("session table has another writer")
	ErrReader = errors.New("session table is open for reading")
)

const (
	tableMagic   = 0x6e6f_6973_7365_736c // "lsession"
	tableVersion = 4
	headerBytes  = 4096
	maxCapacity  = 1 << 27
)

// header is the first page of the file.
type header struct {
	magic    uint64
	version  uint32
	slotSize uint32
	capacity uint64
	slots    uint64
	instance [16]byte  // of the segment whose flows the entries name
	key      [2]uint64 // random, of tupleHash
	moves    atomic.Uint64
}

type file struct {
	path     string
	fd       int
	mem      []byte
	capacity uint64
	writer   bool
}

// Path returns the file of the session table of that name.
func Path(dir, name string) string { return filepath.Join(dir, "linecrypt-"+name+".sessions") }

// Options says how the writer makes its table.
type Options struct {
	Capacity int      // connections
	Instance [16]byte // nonce of the segment: entries of another instance are dropped
	Group    int      // group that may read the table, -1 for none
}

// OpenWriter takes the table at path over, with the entries an earlier writer of the same instance left, or makes a new one
// when there is none that fits. The error wraps ErrBusy while another writer lives.
func OpenWriter(path string, o Options) (*Table, error) {
	if o.Capacity < 1 || o.Capacity > maxCapacity {
		return nil, fmt.Errorf("session table %s for %d connections: %w", path, o.Capacity, ErrFile)
	}
	t, err := takeOver(path, o)
	if err == nil {
		return t, nil
	}
	if errors.Is(err, ErrBusy) {
		return nil, fmt.Errorf("session table %s: %w", path, err)
	}
	if t, err = create(path, o); err != nil {
		return nil, fmt.Errorf("create session table %s: %w", path, err)
	}
	return t, nil
}

func takeOver(path string, o Options) (*Table, error) {
	t, err := open(path, true)
	if err != nil {
		return nil, err
	}
	if t.hdr.instance != o.Instance || t.file.capacity != uint64(o.Capacity) {
		_ = t.Close()
		return nil, ErrFile
	}
	if err := share(t.file.fd, o.Group); err != nil {
		_ = t.Close()
		return nil, err
	}
	t.mend()
	return t, nil
}

func create(path string, o Options) (*Table, error) {
	var random [8]byte
	_, _ = rand.Read(random[:])
	temporary := path + ".new-" + hex.EncodeToString(random[:])
	fd, err := unix.Open(temporary, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	t := &Table{file: file{path: path, fd: fd, capacity: uint64(o.Capacity), writer: true}}
	if err := t.publish(temporary, o); err != nil {
		_ = unix.Unlink(temporary)
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

// publish makes the new file whole and gives it its name; a file of that name that did not fit is replaced.
func (t *Table) publish(temporary string, o Options) error {
	size := headerBytes + slotsFor(o.Capacity)*int(unsafe.Sizeof(slot{}))
	if err := unix.Ftruncate(t.file.fd, int64(size)); err != nil {
		return err
	}
	if err := unix.Fallocate(t.file.fd, 0, 0, int64(size)); err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("set %d bytes aside: %w", size, err)
	}
	if err := lock(t.file.fd); err != nil {
		return err
	}
	if err := t.mapFile(size); err != nil {
		return err
	}
	h := t.hdr
	h.magic, h.version, h.slotSize = tableMagic, tableVersion, uint32(unsafe.Sizeof(slot{}))
	var random [16]byte
	_, _ = rand.Read(random[:])
	h.key = [2]uint64{binary.LittleEndian.Uint64(random[:]), binary.LittleEndian.Uint64(random[8:])}
	h.capacity, h.slots, h.instance = uint64(o.Capacity), uint64(slotsFor(o.Capacity)), o.Instance
	t.view()
	if err := share(t.file.fd, o.Group); err != nil {
		return err
	}
	return unix.Rename(temporary, t.file.path)
}

// share lets a group read the file, or nobody.
func share(fd, group int) error {
	if group < 0 {
		return unix.Fchmod(fd, 0o600)
	}
	if err := unix.Fchown(fd, -1, group); err != nil {
		return fmt.Errorf("give it to group %d: %w", group, err)
	}
	return unix.Fchmod(fd, 0o640)
}

// GroupOf returns the number of the group that may read the table at path, as text, empty where there is none.
func GroupOf(path string) string {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o040 == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(st.Gid), 10)
}

func lock(fd int) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: unix.SEEK_SET, Len: 1}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return ErrBusy
	}
	return err
}

// Open maps the table at path for reading. The error wraps ErrFile for a file that is not a table or that others than its
// owner may write.
func Open(path string) (*Table, error) {
	t, err := open(path, false)
	if err != nil {
		return nil, fmt.Errorf("open session table %s: %w", path, err)
	}
	return t, nil
}

func open(path string, writer bool) (*Table, error) {
	flags := unix.O_RDONLY
	if writer {
		flags = unix.O_RDWR
	}
	fd, err := unix.Open(path, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	t := &Table{file: file{path: path, fd: fd, writer: writer}}
	if err := t.attach(); err != nil {
		_ = t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) attach() error {
	var st unix.Stat_t
	if err := unix.Fstat(t.file.fd, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 {
		return fmt.Errorf("mode %#o: %w", st.Mode, ErrFile)
	}
	if t.file.writer && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("belongs to user %d: %w", st.Uid, ErrFile)
	}
	if st.Size < headerBytes || st.Size > headerBytes+int64(slotsFor(maxCapacity))*int64(unsafe.Sizeof(slot{})) {
		return fmt.Errorf("file of %d bytes: %w", st.Size, ErrFile)
	}
	if t.file.writer {
		if err := lock(t.file.fd); err != nil {
			return err
		}
	}
	if err := t.mapFile(int(st.Size)); err != nil {
		return err
	}
	return t.validate()
}

func (t *Table) validate() error {
	h := t.hdr
	if h.magic != tableMagic || h.version != tableVersion || h.slotSize != uint32(unsafe.Sizeof(slot{})) {
		return fmt.Errorf("magic %#x, version %d: %w", h.magic, h.version, ErrFile)
	}
	capacity := h.capacity
	if capacity == 0 || capacity > maxCapacity || h.slots != uint64(slotsFor(int(capacity))) ||
		len(t.file.mem) != headerBytes+slotsFor(int(capacity))*int(unsafe.Sizeof(slot{})) {
		return fmt.Errorf("%d connections in %d slots in %d bytes: %w", capacity, h.slots, len(t.file.mem), ErrFile)
	}
	t.file.capacity = capacity
	t.view()
	return nil
}

func (t *Table) mapFile(size int) error {
	protection := unix.PROT_READ
	if t.file.writer {
		protection |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(t.file.fd, 0, size, protection, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %d bytes: %w", size, err)
	}
	t.file.mem = mem
	t.hdr = (*header)(unsafe.Pointer(unsafe.SliceData(mem)))
	return nil
}

func (t *Table) view() {
	t.key = t.hdr.key
	base := unsafe.Pointer(unsafe.SliceData(t.file.mem))
	t.slots = unsafe.Slice((*slot)(unsafe.Add(base, headerBytes)), slotsFor(int(t.file.capacity)))
}

// Current reports whether the file's name still leads to this table; a reader opens it again when it does not.
func (t *Table) Current() bool {
	var a, b unix.Stat_t
	return unix.Fstat(t.file.fd, &a) == nil && unix.Lstat(t.file.path, &b) == nil && a.Ino == b.Ino && a.Dev == b.Dev
}

// Unlink removes the file's name, if this is the writer's and still the current table.
func (t *Table) Unlink() error {
	if !t.file.writer || !t.Current() {
		return nil
	}
	return unix.Unlink(t.file.path)
}

// Close unmaps the table and gives the writer's part up. The file stays.
func (t *Table) Close() error {
	var err error
	if t.file.mem != nil {
		err = unix.Munmap(t.file.mem)
		t.file.mem, t.hdr, t.slots = nil, nil, nil
	}
	if t.file.fd >= 0 {
		err = errors.Join(err, unix.Close(t.file.fd))
		t.file.fd = -1
	}
	return err
}
