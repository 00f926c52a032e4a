package sessiontable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"

	"linecrypt/flowtable"
)

func entry(n int) Entry {
	e := Entry{
		Tuple:  flowtable.Key{Inside: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: byte(n)}, InsidePort: uint16(n), OutsidePort: uint16(n >> 16)},
		Active: n%2 == 0, Role: flowtable.Role(1 + n%2), TEP: 0x23, AEAD: 0x10, Start: int64(n) * 1e9, Worker: 2, Index: flowtable.Index(n), Gen: uint32(n) + 7,
		Resumed: n%3 == 0, OwnAware: n%5 < 2, PeerAware: n%7 < 3, Auth: Auth(n % int(numAuths)), Rule: uint32(n) << 8,
		ENOA: MakeENO([]byte{69, 4, byte(n), 0x21}), ENOB: ENO{0: 69, 1: 40, 39: byte(n)},
	}
	for i := range e.SessionID {
		e.SessionID[i] = byte(n + i)
	}
	return e
}

func writer(t testing.TB, path string, capacity int) *Table {
	t.Helper()
	w, err := OpenWriter(path, Options{Capacity: capacity, Instance: [16]byte{1}, Group: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func insert(t testing.TB, w *Table, n int) {
	t.Helper()
	e := entry(n)
	if err := w.Insert(&e); err != nil {
		t.Fatal(err)
	}
}

func has(r *Table, n int) bool {
	want := entry(n)
	var e Entry
	return r.Lookup(&want.Tuple, &e) && e == want
}

func TestReaderFindsWhatTheWriterPublished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	w := writer(t, path, 1000)
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := range 1000 {
		insert(t, w, n)
	}
	if w.Len() != 1000 || r.Capacity() != 1000 {
		t.Fatalf("%d entries of %d", w.Len(), r.Capacity())
	}
	seen := 0
	r.Range(func(e *Entry) bool { seen++; return true })
	for n := range 1000 {
		if !has(r, n) {
			t.Fatalf("entry %d is not found", n)
		}
	}
	if seen != 1000 || has(r, 1001) {
		t.Fatalf("%d entries listed", seen)
	}
	e := entry(5)
	if w.Delete(&e.Tuple, e.Worker, e.Index, e.Gen+1) || !has(r, 5) {
		t.Error("deleted on behalf of another flow")
	}
	for n := range 1000 {
		e := entry(n)
		if !w.Delete(&e.Tuple, e.Worker, e.Index, e.Gen) || has(r, n) {
			t.Fatalf("entry %d is not deleted", n)
		}
	}
	if w.Len() != 0 {
		t.Errorf("%d entries left", w.Len())
	}
	if err := r.Insert(&e); !errors.Is(err, ErrReader) || r.Delete(&e.Tuple, 0, 0, 0) {
		t.Errorf("a reader wrote: %v", err)
	}
}

func TestChurnLeavesTheTableSearchable(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 500)
	for n := range 20000 {
		insert(t, w, n)
		if n >= 400 {
			e := entry(n - 400)
			if !w.Delete(&e.Tuple, e.Worker, e.Index, e.Gen) {
				t.Fatalf("entry %d is gone", n-400)
			}
		}
		if !has(w, n) || n > 100 && !has(w, n-100) {
			t.Fatalf("round %d: an entry is not found", n)
		}
	}
	if w.Len() != 400 {
		t.Errorf("%d entries", w.Len())
	}
}

func TestWriterKilledWhileItClosesAGapLosesNoEntry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	w := writer(t, path, 200)
	for n := range 200 {
		insert(t, w, n)
	}
	var image image
	copies := 0
	for i := range w.slots {
		s, next := &w.slots[i], &w.slots[w.at(i, 1)]
		if next.read(&image); image.kind() != slotUsed || !s.read(&image) || image.kind() != slotEmpty {
			continue
		}
		next.read(&image)
		s.write(&image) // an entry moved, its old slot not yet changed
		copies++
	}
	_ = w.Close()
	w = writer(t, path, 200)
	if w.Len() != 200 || copies == 0 {
		t.Fatalf("%d entries after %d copies", w.Len(), copies)
	}
	seen := 0
	w.Range(func(e *Entry) bool { seen++; return has(w, int(e.Index)) })
	if seen != 200 {
		t.Errorf("%d entries found", seen)
	}
}

func TestTuplesThatCrowdInOneTableDoNotInAnother(t *testing.T) {
	one := writer(t, filepath.Join(t.TempDir(), "t"), 10_000)
	another := writer(t, filepath.Join(t.TempDir(), "t"), 10_000)
	seen := map[int]bool{}
	crowd := 0
	for n := 0; crowd < 300; n++ {
		e := entry(n)
		if one.home(&e.Tuple) < 64 { // chosen by somebody who knows the first table's key
			crowd++
			seen[another.home(&e.Tuple)/64] = true
		}
	}
	if len(seen) < 100 {
		t.Errorf("300 chosen tuples come to lie in %d places", len(seen))
	}
}

func TestInsertReplacesTheEntryOfTheSameTuple(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 10)
	insert(t, w, 1)
	e := entry(1)
	e.Gen, e.SessionID[3] = 99, 0
	if err := w.Insert(&e); err != nil || w.Len() != 1 {
		t.Fatalf("%d entries: %v", w.Len(), err)
	}
	var got Entry
	if !w.Lookup(&e.Tuple, &got) || got != e {
		t.Errorf("%+v", got)
	}
}

func TestConnectionsOfOneTupleInSeveralVLANsAreFoundTogetherAndEachAlone(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 50)
	insert(t, w, 2)
	for vlan := range uint32(3) {
		e := entry(1)
		e.Tuple.VLAN, e.Gen = vlan, vlan
		if err := w.Insert(&e); err != nil {
			t.Fatal(err)
		}
	}
	e := entry(1)
	var found [2]Entry
	if n := w.Find(&e.Tuple, found[:]); n != 3 || found[0].Gen == found[1].Gen {
		t.Errorf("%d found: %+v", n, found)
	}
	for vlan := range uint32(4) {
		e.Tuple.VLAN = vlan
		var got Entry
		if ok := w.Lookup(&e.Tuple, &got); ok != (vlan < 3) || ok && got.Gen != vlan {
			t.Errorf("VLAN %d: %v, %+v", vlan, ok, got)
		}
	}
	other := entry(3)
	if n := w.Find(&other.Tuple, found[:]); n != 0 {
		t.Errorf("%d found of a connection that is not there", n)
	}
}

func TestAuthenticationIsChangedOfThatFlowAlone(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 10)
	insert(t, w, 1)
	e := entry(1)
	if w.SetAuth(&e.Tuple, e.Worker, e.Index, e.Gen+1, AuthMismatch) || !has(w, 1) {
		t.Error("an earlier connection's word changed the entry")
	}
	var got Entry
	if !w.SetAuth(&e.Tuple, e.Worker, e.Index, e.Gen, AuthMismatch) || !w.Lookup(&e.Tuple, &got) {
		t.Fatal("entry not found")
	}
	if e.Auth = AuthMismatch; got != e {
		t.Errorf("%+v", got)
	}
}

func TestEveryChangeIsToldOfOnce(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 10)
	var told []string
	w.Observe(func(c Change, e *Entry) { told = append(told, fmt.Sprint(c, " ", e.Gen, " ", e.Auth)) })
	e := entry(4)
	e.Auth = AuthNone
	later := e
	later.Gen++
	for _, e := range []*Entry{&e, &e} {
		if err := w.Insert(e); err != nil {
			t.Fatal(err)
		}
	}
	w.SetAuth(&e.Tuple, e.Worker, e.Index, e.Gen, Authenticated)
	w.SetAuth(&e.Tuple, e.Worker, e.Index, e.Gen, Authenticated)
	if err := w.Insert(&later); err != nil {
		t.Fatal(err)
	}
	w.Delete(&e.Tuple, e.Worker, e.Index, e.Gen)
	w.Reconcile(func(*Entry) bool { return false })
	want := []string{"open 11 none", "change 11 authenticated", "close 11 authenticated", "open 12 none", "close 12 none"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, not %q", told, want)
	}
}

func TestOptionsThatAreNoneLeaveNone(t *testing.T) {
	for _, raw := range [][]byte{nil, {69}, {69, 3, 1, 2}, {69, 1}, make([]byte, 41)} {
		if o := MakeENO(raw); len(o.Bytes()) != 0 {
			t.Errorf("% x gives % x", raw, o.Bytes())
		}
	}
	if o := (ENO{69, 200}); len(o.Bytes()) != 0 {
		t.Errorf("% x", o.Bytes())
	}
	if o := MakeENO([]byte{69, 3, 0x21}); string(o.Bytes()) != "E\x03!" {
		t.Errorf("% x", o.Bytes())
	}
}

func TestFullTableRefuses(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 1)
	var err error
	n := 0
	for ; err == nil && n < 1000; n++ {
		e := entry(n)
		err = w.Insert(&e)
	}
	if !errors.Is(err, ErrFull) || n < slotsFor(1) {
		t.Errorf("after %d entries: %v", n, err)
	}
}

func TestNextWriterKeepsEntriesOfTheSameInstanceAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	w := writer(t, path, 100)
	insert(t, w, 1)
	insert(t, w, 2)
	if _, err := OpenWriter(path, Options{Capacity: 100, Group: -1}); !errors.Is(err, ErrBusy) {
		t.Fatalf("second writer: %v", err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	_ = w.Close()
	w = writer(t, path, 100)
	if w.Len() != 2 || !has(w, 1) || !r.Current() {
		t.Fatalf("%d entries after a restart", w.Len())
	}
	if gone := w.Reconcile(func(e *Entry) bool { return e.Index == 2 }); gone != 1 || has(r, 1) || !has(r, 2) {
		t.Fatalf("%d entries reconciled away", gone)
	}
	_ = w.Close()
	w, err = OpenWriter(path, Options{Capacity: 100, Instance: [16]byte{2}, Group: os.Getgid()})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if w.Len() != 0 || r.Current() {
		t.Errorf("%d entries of another instance", w.Len())
	}
	if st, err := os.Stat(path); err != nil || st.Mode() != 0o640 {
		t.Errorf("mode %v: %v", st.Mode(), err)
	}
}

// TestWriterKilledAtAnyStepWedgesNobody stops a write after each of its stores.
func TestWriterKilledAtAnyStepWedgesNobody(t *testing.T) {
	for step := range slotWords + 3 {
		path := filepath.Join(t.TempDir(), "t")
		w := writer(t, path, 10)
		insert(t, w, 1)
		e := entry(1)
		i, found := w.place(&e.Tuple)
		if !found {
			t.Fatal("not found")
		}
		e.Gen, e.SessionID[0] = 1000, 0xee
		s, image := &w.slots[i], encode(&e)
		if step > 0 {
			s.seq.Store(s.seq.Load() | 1)
		}
		for n := 0; n < slotWords && n+1 < step; n++ {
			s.words[n].Store(image[n])
		}
		if step > slotWords+1 {
			s.sum.Store(image.sum())
		}
		var got Entry
		if w.Lookup(&e.Tuple, &got) && got != entry(1) {
			t.Fatalf("step %d: a reader got a torn entry", step)
		}
		_ = w.Close()
		w = writer(t, path, 10)
		want := 1
		if step > 0 {
			want = 0
		}
		if w.Len() != want {
			t.Fatalf("step %d: %d entries after mending", step, w.Len())
		}
		if err := w.Insert(&e); err != nil || w.Len() != 1 || !w.Lookup(&e.Tuple, &got) || got != e {
			t.Fatalf("step %d: the slot cannot be used again: %v", step, err)
		}
	}
}

func TestReaderNeverSeesATornEntry(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 4)
	var stop atomic.Bool
	done := make(chan error)
	a := entry(1)
	b := a
	b.Gen, b.SessionID, b.Start = 5, entry(9).SessionID, 77
	go func() {
		var err error
		for n := 0; !stop.Load() && err == nil; n++ {
			if n%2 == 0 {
				err = w.Insert(&a)
			} else {
				err = w.Insert(&b)
			}
		}
		done <- err
	}()
	found := 0
	for tries := 0; found < 2000 && tries < 2_000_000; tries++ {
		var got Entry
		if !w.Lookup(&a.Tuple, &got) {
			runtime.Gosched()
			continue
		}
		if got != a && got != b {
			t.Errorf("torn entry %+v", got)
			break
		}
		found++
	}
	stop.Store(true)
	if err := <-done; err != nil || found == 0 {
		t.Fatalf("found %d times: %v", found, err)
	}
}

func TestUnsafeOrDamagedFilesAreRefused(t *testing.T) {
	damage := map[string]func(t *testing.T, path string, w *Table){
		"magic":     func(_ *testing.T, _ string, w *Table) { w.hdr.magic++ },
		"version":   func(_ *testing.T, _ string, w *Table) { w.hdr.version++ },
		"slots":     func(_ *testing.T, _ string, w *Table) { w.hdr.slots++ },
		"capacity":  func(_ *testing.T, _ string, w *Table) { w.hdr.capacity = 1 << 60 },
		"truncated": func(_ *testing.T, path string, _ *Table) { _ = os.Truncate(path, headerBytes+5) },
		"empty":     func(_ *testing.T, path string, _ *Table) { _ = os.Truncate(path, 0) },
		"writable":  func(_ *testing.T, path string, _ *Table) { _ = os.Chmod(path, 0o666) },
		"directory": func(_ *testing.T, path string, _ *Table) { _ = os.Remove(path); _ = os.Mkdir(path, 0o700) },
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t")
			w := writer(t, path, 10)
			f(t, path, w)
			if _, err := Open(path); !errors.Is(err, ErrFile) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestLookupAllocatesNothing(t *testing.T) {
	w := writer(t, filepath.Join(t.TempDir(), "t"), 100)
	insert(t, w, 1)
	e := entry(1)
	var got Entry
	if n := testing.AllocsPerRun(100, func() { w.Lookup(&e.Tuple, &got) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "t")
	w, err := OpenWriter(path, Options{Capacity: 4, Group: -1})
	if err != nil {
		f.Fatal(err)
	}
	insert(f, w, 1)
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	_ = w.Close()
	f.Add(uint16(0), []byte{9})
	f.Add(uint16(16), []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(uint16(headerBytes), []byte{1, 0, 0, 0, 1, 2, 3, 4, 1, 2, 3})
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		path := filepath.Join(t.TempDir(), "t")
		b := append([]byte(nil), good...)
		copy(b[int(at)%len(b):], patch)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path)
		if err != nil {
			return
		}
		defer r.Close()
		n := 0
		r.Range(func(e *Entry) bool { n++; return true })
		if n > len(r.slots) {
			t.Fatalf("%d entries", n)
		}
		has(r, 1)
		w, err := OpenWriter(path, Options{Capacity: r.Capacity(), Instance: r.hdr.instance, Group: -1})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		e := entry(2)
		if err := w.Insert(&e); err != nil && !errors.Is(err, ErrFull) || err == nil && !has(w, 2) {
			t.Fatalf("insert: %v", err)
		}
	})
}
