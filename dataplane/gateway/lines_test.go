package gateway

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/config"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/memory"
)

const cacheLine = 64

// reach collects all objects that a value leads to, by address, with their sizes and the way to them. It does not look into maps and
// functions, and not behind unsafe pointers.
type reach map[uintptr]object

type object struct {
	size uintptr
	way  string
}

func (r reach) add(at unsafe.Pointer, size uintptr, way string) bool {
	if old, ok := r[uintptr(at)]; at == nil || size == 0 || ok && old.size >= size {
		return false
	}
	r[uintptr(at)] = object{size, way}
	return true
}

func (r reach) walk(v reflect.Value, way string) {
	switch v.Kind() {
	case reflect.Pointer:
		t := v.Type().Elem()
		if !v.IsNil() && r.add(v.UnsafePointer(), t.Size(), way) {
			r.walk(v.Elem(), way)
		}
	case reflect.Interface:
		if !v.IsNil() {
			r.walk(v.Elem(), fmt.Sprintf("%s.(%s)", way, v.Elem().Type()))
		}
	case reflect.Slice:
		t := v.Type().Elem()
		if r.add(v.UnsafePointer(), uintptr(v.Cap())*t.Size(), way) && leads(t) {
			for i := range min(v.Len(), 4096) {
				r.walk(v.Index(i), way+"[]")
			}
		}
	case reflect.Array:
		if leads(v.Type().Elem()) {
			for i := range v.Len() {
				r.walk(v.Index(i), way+"[]")
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			r.walk(v.Field(i), way+"."+v.Type().Field(i).Name)
		}
	}
}

// leads reports whether values of a type lead to others.
func leads(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Slice:
		return true
	case reflect.Array:
		return leads(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if leads(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
}

// seldom are objects that are read only, or that are written so seldom that it costs nothing: when a frame of several packets begins.
var seldom = map[string]bool{"worker.machine": true, "worker.idle.fds": true, "worker.core.large.owner": true, "worker.core.large.peer": true}

func TestWorkersShareNoCacheLineOfWhatIsTheirOwn(t *testing.T) {
	cfg := config.Default()
	cfg.Flows.Max, cfg.Memory.HugePages = 1024, false
	const workers = 4
	var caches []*mbuf.Cache
	for range workers {
		arena, err := mbuf.NewArena(2048, mbuf.DefaultDataRoom)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { arena.Close() })
		caches = append(caches, mbuf.NewCache(arena))
	}
	in, _, err1 := memory.NewEnd("in", memory.Options{}, caches)
	out, _, err2 := memory.NewEnd("out", memory.Options{}, caches)
	engine, err3 := cryptobatch.New(cryptobatch.Auto)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	g, err := New(Options{Config: cfg, SegmentDir: t.TempDir(), Inside: in, Outside: out, Caches: caches, Cores: []int{-1, -1, -1, -1}, Engine: engine})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	var reached []reach
	shared := map[uintptr]int{}
	for _, w := range g.workers {
		r := reach{}
		r.walk(reflect.ValueOf(w), "worker")
		for at := range r {
			shared[at]++
		}
		reached = append(reached, r)
	}
	if len(reached[0]) < 50 {
		t.Fatalf("a worker leads to %d objects only", len(reached[0]))
	}
	type owner struct {
		worker int
		way    string
	}
	lines := map[uintptr]owner{}
	for i, r := range reached {
		for at, o := range r {
			if shared[at] > 1 || seldom[o.way] {
				continue // of all of them
			}
			for _, end := range []uintptr{at, at + o.size - 1} {
				line := end / cacheLine
				if other, ok := lines[line]; ok && other.worker != i {
					t.Errorf("worker %d has %s (%d bytes) in a line in which worker %d has %s", i, o.way, o.size, other.worker, other.way)
				}
				lines[line] = owner{i, o.way}
			}
		}
	}
}
