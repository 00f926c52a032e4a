package hugepages

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"linecrypt/bench/testenv"
)

// smaps returns what the kernel says about the mapping that memory lies in, in KiB by key.
func smaps(t *testing.T, b []byte) map[string]uint64 {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	at := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
	values, inside := map[string]uint64{}, false
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var from, to, n uint64
		if _, err := fmt.Sscanf(sc.Text(), "%x-%x ", &from, &to); err == nil {
			inside = from <= at && at < to
		} else if key, rest, ok := strings.Cut(sc.Text(), ":"); inside && ok {
			if _, err := fmt.Sscan(rest, &n); err == nil {
				values[key] = n
			}
		}
	}
	return values
}

func touch(b []byte) {
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1
	}
}

func TestMemoryIsAlignedZeroAndAsLongAsAskedFor(t *testing.T) {
	for _, n := range []int{1, 4096, pageBytes - 1, pageBytes, pageBytes + 1, 5 * pageBytes} {
		m, err := Map(n, false)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Bytes) != n || (m.Kind == Transparent) != (n >= pageBytes) {
			t.Errorf("%d bytes asked for: %d of %v pages", n, len(m.Bytes), m.Kind)
		}
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(m.Bytes))); m.Kind == Transparent && at%pageBytes != 0 {
			t.Errorf("%d bytes at %#x", n, at)
		}
		for i, b := range m.Bytes {
			if b != 0 {
				t.Fatalf("byte %d is %d", i, b)
			}
		}
		touch(m.Bytes)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, n := range []int{0, -1, 1 << 60} {
		if m, err := Map(n, false); err == nil {
			t.Errorf("%d bytes: %v", n, m)
		}
	}
	if err := (*Memory)(nil).Close(); err != nil {
		t.Error(err)
	}
}

func TestTransparentHugePagesAreObtained(t *testing.T) {
	mode, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil || strings.Contains(string(mode), "[never]") {
		t.Skip("the kernel gives none")
	}
	const n = 16 << 20
	m, err := Map(n, false)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	touch(m.Bytes)
	// Memory may be in pieces too small for some of them.
	if got := smaps(t, m.Bytes)["AnonHugePages"]; got < n>>11 {
		t.Errorf("%d of %d KiB lie in huge pages", got, n>>10)
	}
}

func TestReservedHugePagesAreTakenWhileEnoughAreFree(t *testing.T) {
	testenv.AllowHugepages(t, 4)
	m, err := Map(4*pageBytes, true)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Kind != Reserved {
		t.Skip("another process has taken them")
	}
	if err := m.Lock(); err != nil {
		t.Error(err)
	}
	if got := smaps(t, m.Bytes)["KernelPageSize"]; got != pageBytes>>10 {
		t.Errorf("pages of %d KiB", got)
	}
	st, err := Read("/")
	if err != nil {
		t.Fatal(err)
	}
	more, err := Map((st.Free+512)*pageBytes, true) // others may give some back meanwhile
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	if more.Kind != Transparent {
		t.Errorf("%v pages, where there are not as many", more.Kind)
	}
	if small, err := Map(100, true); err != nil || small.Kind != Ordinary {
		t.Errorf("a few bytes: %v, %v", small, err)
	} else {
		small.Close()
	}
}
