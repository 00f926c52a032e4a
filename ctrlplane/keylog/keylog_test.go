package keylog

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAddWritesOneLineASession(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	for range 2 { // opened again it goes on
		l, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Add([]byte{1, 2}, 0x10, []byte{3, 4}, []byte{0x23, 5}); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const line = "TCPCRYPT 0102 0010 0304 2305\n"
	if string(b) != line+line {
		t.Errorf("%q", b)
	}
	if st, _ := os.Stat(path); st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
}

func TestOpenRefusesWhatOthersMayRead(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"a file that others may read": func(p string) error { return os.WriteFile(p, nil, 0o644) },
		"a symbolic link":             func(p string) error { return os.Symlink("elsewhere", p) },
		"a folder":                    func(p string) error { return os.Mkdir(p, 0o700) },
		"a pipe":                      func(p string) error { return unix.Mkfifo(p, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, name)
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			if l, err := Open(path); err == nil {
				l.Close()
				t.Error("is opened")
			}
		})
	}
}

func TestAFullLogStopsAndSaysSoOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, MaxBytes-10); err != nil {
		t.Fatal(err)
	}
	l, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Add([]byte{1}, 1, []byte{2}, []byte{3}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if err := l.Add([]byte{1}, 1, []byte{2}, []byte{3}); err != nil {
		t.Errorf("again: %v", err)
	}
}
