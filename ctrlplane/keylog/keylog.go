// Package keylog writes the master keys of sessions to a file, so that a capture of the wire can be opened: for debugging, and only where
// somebody asked for it. Whoever has the file and the capture reads everything.
//
// A line is "TCPCRYPT CONTEXT AEAD MASTER SESSION-ID", in hexadecimal: the context is what a capture shows of the connection and of no other
// (N_A of Init1), and the master key is mk[0], from which the keys of all generations follow (RFC 8548 section 3.3). The dissector in
// bench/wireshark reads it.
package keylog

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// MaxBytes is how large a log grows. What comes after is not logged.
const MaxBytes = 256 << 20

// Errors of Open and Add.
var (
	ErrUnsafe = errors.New("others could read keys there")
	ErrFull   = errors.New("the key log is full")
)

// Log is an open key log. Its methods are safe for concurrent use.
type Log struct {
	path string

	mu   sync.Mutex
	f    *os.File
	size int64
	line []byte
	err  error // why it has stopped
}

// Open opens the file for appending, or makes it, readable by this user alone. A file that is not one, is another user's, or that others may
// read is refused with an error that wraps ErrUnsafe.
func Open(path string) (*Log, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("key log: %w", err)
	}
	size, err := check(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("key log: %s: %w", path, err)
	}
	return &Log{path: path, f: f, size: size}, nil
}

func check(f *os.File) (size int64, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, err
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return 0, fmt.Errorf("not a plain file: %w", ErrUnsafe)
	case int(st.Uid) != os.Getuid():
		return 0, fmt.Errorf("belongs to user %d: %w", st.Uid, ErrUnsafe)
	case st.Mode&0o077 != 0:
		return 0, fmt.Errorf("mode %o, chmod 600 it: %w", st.Mode&0o7777, ErrUnsafe)
	}
	return st.Size, nil
}

// Path returns the file's name.
func (l *Log) Path() string { return l.path }

// There reports whether the file of that name is still the one that is written to: not where somebody has moved or removed it.
func (l *Log) There() bool {
	var at, open unix.Stat_t
	l.mu.Lock()
	defer l.mu.Unlock()
	return unix.Lstat(l.path, &at) == nil && unix.Fstat(int(l.f.Fd()), &open) == nil && at.Dev == open.Dev && at.Ino == open.Ino
}

// Add writes the line of a session. After an error nothing more is written, and the error is returned once only.
func (l *Log) Add(context []byte, aead uint16, master, sessionID []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil
	}
	l.line = fmt.Appendf(l.line[:0], "TCPCRYPT %x %04x %x %x\n", context, aead, master, sessionID)
	defer clear(l.line)
	if l.size+int64(len(l.line)) > MaxBytes {
		l.err = fmt.Errorf("%s: %d bytes: %w", l.path, l.size, ErrFull)
		return l.err
	}
	n, err := l.f.Write(l.line)
	l.size += int64(n)
	if err != nil {
		l.err = fmt.Errorf("key log: %w", err)
	}
	return l.err
}

// Close closes the file, which stays.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = os.ErrClosed
	return l.f.Close()
}
