package shm

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/flowtable"
)

func testParams(t *testing.T) Params {
	t.Helper()
	return Params{
		Name: "test", Inside: "veth0", Outside: "veth1", Kinds: [2]string{"dpdk", "packet"}, Poll: "adaptive",
		Engine: "generic", Cores: []int{3, -1},
		Flows:       flowtable.Layout{Capacity: 100, Chunks: 50},
		RequestRing: minRing, ReplyRing: minRing,
	}
}

func mustCreate(t *testing.T, dir string, p Params) *Segment {
	t.Helper()
	s, err := Create(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// eachPlace runs a test in a folder on an ordinary file system, and in one on hugetlbfs.
func eachPlace(t *testing.T, test func(t *testing.T, dir string)) {
	t.Run("ordinary pages", func(t *testing.T) { test(t, t.TempDir()) })
	t.Run("huge pages", func(t *testing.T) { test(t, testenv.Hugetlbfs(t, 8)) })
}

func TestSegmentTellsOtherProcessesWhatItWasMadeOf(t *testing.T) {
	eachPlace(t, testSegmentTells)
}

func testSegmentTells(t *testing.T, dir string) {
	data := mustCreate(t, dir, testParams(t))
	data.SetReady(true)
	data.Beat(1000)
	data.Worker(1).Counters[RxInsidePackets] = 42

	tool, err := Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if tool.Inside() != "veth0" || tool.Outside() != "veth1" || tool.Engine() != "generic" || tool.Name() != "test" {
		t.Errorf("names %q %q %q %q", tool.Inside(), tool.Outside(), tool.Engine(), tool.Name())
	}
	if tool.PortKind(flowtable.Inside) != "dpdk" || tool.PortKind(flowtable.Outside) != "packet" || tool.Poll() != "adaptive" {
		t.Errorf("kinds %q and %q, polling %q", tool.PortKind(flowtable.Inside), tool.PortKind(flowtable.Outside), tool.Poll())
	}
	if tool.Workers() != 2 || tool.Core(0) != 3 || tool.Core(1) != -1 {
		t.Errorf("%d workers on cores %d and %d", tool.Workers(), tool.Core(0), tool.Core(1))
	}
	if p := tool.DataPlane(); p.PID != os.Getpid() || p.Epoch != 1 || p.Start == 0 || !p.Alive(1100, 100) || p.Alive(1101, 100) {
		t.Errorf("data plane %+v", p)
	}
	if !tool.Ready() || tool.Policy() != flowtable.PolicyUnset || tool.Nonce() != data.Nonce() {
		t.Errorf("ready %v, policy %v", tool.Ready(), tool.Policy())
	}
	if got := tool.Worker(1).Counters[RxInsidePackets]; got != 42 {
		t.Errorf("counter is %d", got)
	}
	if c, ok := tool.Counters().Find("drop_checksum"); !ok || c != DropChecksum || tool.Counters().Info(c).Kind != KindDrop {
		t.Errorf("drop_example at %d: %v", c, ok)
	}
	tool.Beat(7)
	tool.SetReady(false)
	if err := tool.PublishRules(testRules(t, flowtable.Require, 0x23)); !errors.Is(err, ErrRules) {
		t.Errorf("a tool publishes rules: %v", err)
	}
	tool.SetLink(flowtable.Inside, LinkUp, 1500)
	if !data.Ready() || data.Policy() != flowtable.PolicyUnset || data.Link(flowtable.Inside) != LinkUnknown {
		t.Error("a tool changed the segment")
	}
}

func TestLinksAreUnknownUntilTheDataPlaneLooks(t *testing.T) {
	dir := t.TempDir()
	data := mustCreate(t, dir, testParams(t))
	tool, err := Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if a, b := tool.Link(flowtable.Inside), tool.Link(flowtable.Outside); a != LinkUnknown || b != LinkUnknown {
		t.Errorf("links %v and %v before anyone looked", a, b)
	}
	data.SetLink(flowtable.Inside, LinkUp, 1400)
	data.SetLink(flowtable.Outside, LinkDown, 1500)
	if a, b := tool.Link(flowtable.Inside), tool.Link(flowtable.Outside); a != LinkUp || b != LinkDown {
		t.Errorf("links %v and %v, not up and down", a, b)
	}
	if a, b := tool.MTU(flowtable.Inside), tool.MTU(flowtable.Outside); a != 1400 || b != 1500 {
		t.Errorf("MTUs %d and %d, not 1400 and 1500", a, b)
	}
	data.hdr.ports.links[flowtable.Inside].Store(99)
	if l := tool.Link(flowtable.Inside); l != LinkUnknown {
		t.Errorf("a state that is none reads as %v", l)
	}
	data.SetLink(flowtable.Outside, LinkGone, 1500)
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Adopt(dir, testParams(t))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if l := tool.Link(flowtable.Outside); l != LinkUnknown {
		t.Errorf("the next data plane begins with a link that is %v", l)
	}
}

func TestWhatOneProcessWritesHasCacheLinesOfItsOwn(t *testing.T) {
	var h segmentHeader
	for _, at := range []uintptr{unsafe.Offsetof(h.data), unsafe.Offsetof(h.control), unsafe.Offsetof(h.ports), unsafe.Offsetof(h.rules), unsafe.Sizeof(h)} {
		if at%64 != 0 {
			t.Errorf("a line begins at %d", at)
		}
	}
}

func TestSegmentFileIsPrivate(t *testing.T) { eachPlace(t, testFileIsPrivate) }

func testFileIsPrivate(t *testing.T, dir string) {
	mustCreate(t, dir, testParams(t))
	st, err := os.Stat(Path(dir, "test"))
	if err != nil || st.Mode() != 0o600 {
		t.Fatalf("mode %v: %v", st.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("directory holds %v: %v", entries, err)
	}
	if err := os.Chmod(Path(dir, "test"), 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, "test"); !errors.Is(err, ErrSegment) {
		t.Errorf("a file open to the group: %v", err)
	}
	links := t.TempDir()
	if err := os.Symlink(Path(dir, "test"), Path(links, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(links, "link"); err == nil {
		t.Error("a symbolic link was followed")
	}
}

func TestSecondDataPlaneIsRefusedWhileTheFirstLives(t *testing.T) { eachPlace(t, testSecondIsRefused) }

func testSecondIsRefused(t *testing.T, dir string) {
	first := mustCreate(t, dir, testParams(t))
	if _, err := Create(dir, testParams(t)); !errors.Is(err, ErrBusy) {
		t.Fatalf("create beside a live one: %v", err)
	}
	if _, err := Adopt(dir, testParams(t)); !errors.Is(err, ErrBusy) {
		t.Fatalf("adopt beside a live one: %v", err)
	}
	tool, err := Open(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	if !tool.DataPlaneRuns() || tool.ControlPlaneRuns() {
		t.Error("locks are not seen")
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if tool.DataPlaneRuns() {
		t.Error("the lock outlived its holder")
	}
	second := mustCreate(t, dir, testParams(t))
	if second.Nonce() == tool.Nonce() || tool.Current() || !second.Current() {
		t.Error("the old segment passes for the new one")
	}
	if err := second.Unlink(); err != nil || second.Current() {
		t.Errorf("unlink: %v", err)
	}
}

func TestAdoptedSegmentKeepsFlowsAndNonce(t *testing.T) { eachPlace(t, testAdopted) }

func testAdopted(t *testing.T, dir string) {
	p := testParams(t)
	first := mustCreate(t, dir, p)
	w := first.Worker(0)
	flows, err := flowtable.New(w.FlowMemory, w.Layout, [2]uint64{1, 2}, 0)
	if err != nil {
		t.Fatal(err)
	}
	key := flowtable.Key{InsidePort: 80}
	i, _ := flows.Insert(&key, flows.Hash(&key), 5)
	first.SetReady(true)
	nonce := first.Nonce()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}

	other := p
	other.Flows.Capacity++
	if _, err := Adopt(dir, other); !errors.Is(err, ErrSegment) {
		t.Fatalf("adopt with other sizes: %v", err)
	}
	s, err := Adopt(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Nonce() != nonce || s.Ready() || s.DataPlane().Epoch != 2 {
		t.Errorf("nonce kept %v, ready %v, epoch %d", s.Nonce() == nonce, s.Ready(), s.DataPlane().Epoch)
	}
	again, err := s.Worker(0).Flows()
	if err != nil {
		t.Fatal(err)
	}
	if n := again.Recover(10); n != 1 || again.Lookup(&key, again.Hash(&key)) != i {
		t.Errorf("%d flows taken over", n)
	}
	if _, err := Adopt(dir, Params{}); !errors.Is(err, ErrParams) {
		t.Errorf("empty parameters: %v", err)
	}
	if _, err := Adopt(t.TempDir(), p); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing to adopt: %v", err)
	}
}

func TestControlPlaneEpochGrowsWithEachAttach(t *testing.T) { eachPlace(t, testEpochGrows) }

func testEpochGrows(t *testing.T, dir string) {
	data := mustCreate(t, dir, testParams(t))
	for want := uint64(1); want < 4; want++ {
		c, err := OpenControl(dir, "test")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenControl(dir, "test"); !errors.Is(err, ErrBusy) {
			t.Fatalf("second control plane: %v", err)
		}
		if err := c.PublishRules(testRules(t, flowtable.Require, 0x23)); err != nil {
			t.Fatal(err)
		}
		c.Beat(77)
		if p := data.ControlPlane(); p.Epoch != want || p.Beat != 77 || !data.ControlPlaneRuns() {
			t.Errorf("control plane %+v", p)
		}
		_ = c.Close()
		if data.ControlPlaneRuns() || data.Policy() != flowtable.Require {
			t.Error("after the control plane's end: it runs, or its policy is gone")
		}
	}
}

func TestDamagedSegmentIsRefused(t *testing.T) {
	offset := func(o uintptr) int { return int(o) }
	var h segmentHeader
	tests := map[string]struct {
		at   int
		want error
	}{
		"magic":    {offset(unsafe.Offsetof(h.magic)), ErrSegment},
		"version":  {offset(unsafe.Offsetof(h.version)), ErrVersion},
		"layout":   {offset(unsafe.Offsetof(h.layout)), ErrVersion},
		"size":     {offset(unsafe.Offsetof(h.size)), ErrSegment},
		"workers":  {offset(unsafe.Offsetof(h.shape)), ErrSegment},
		"capacity": {offset(unsafe.Offsetof(h.shape)) + 4, ErrSegment},
		"ring":     {offset(unsafe.Offsetof(h.shape)) + 12, ErrSegment},
		"table":    {alignPage(int(unsafe.Sizeof(h))), ErrSegment},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := mustCreate(t, dir, testParams(t))
			b := s.mem[tt.at:]
			binary.LittleEndian.PutUint32(b, binary.LittleEndian.Uint32(b)^0xff00ff01)
			if _, err := Open(dir, "test"); !errors.Is(err, tt.want) {
				t.Errorf("open: %v", err)
			}
		})
	}
}

func TestTruncatedSegmentIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, dir, testParams(t))
	size := s.Size()
	_ = s.Close()
	for _, n := range []int{size - 1, size / 2, 4096, 100, 0} {
		if err := os.Truncate(Path(dir, "test"), int64(n)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, "test"); !errors.Is(err, ErrSegment) {
			t.Errorf("%d of %d bytes: %v", n, size, err)
		}
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	tests := map[string]func(p *Params){
		"name":     func(p *Params) { p.Name = "../x" },
		"dot":      func(p *Params) { p.Name = "..." },
		"long":     func(p *Params) { p.Name = strings.Repeat("x", maxName+1) },
		"cores":    func(p *Params) { p.Cores = nil },
		"many":     func(p *Params) { p.Cores = make([]int, MaxWorkers+1) },
		"capacity": func(p *Params) { p.Flows.Capacity = 0 },
		"ring":     func(p *Params) { p.ReplyRing = 1000 },
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			p := testParams(t)
			change(&p)
			if _, err := Create(t.TempDir(), p); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func FuzzSegmentHeader(f *testing.F) {
	dir := f.TempDir()
	s, err := Create(dir, Params{
		Name: "seed", Cores: []int{0}, Flows: flowtable.Layout{Capacity: 1, Chunks: 1},
		RequestRing: minRing, ReplyRing: minRing,
	})
	if err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(Path(dir, "seed"))
	if err != nil {
		f.Fatal(err)
	}
	_ = s.Close()
	f.Add(uint16(0), []byte{1})
	f.Add(uint16(unsafe.Offsetof(segmentHeader{}.shape)), []byte{255, 255, 255, 255, 255, 255, 255, 255})
	f.Add(uint16(alignPage(int(unsafe.Sizeof(segmentHeader{})))), []byte{0xff, 0})
	f.Fuzz(func(t *testing.T, at uint16, patch []byte) {
		path := Path(t.TempDir(), "fuzz")
		b := append([]byte(nil), good...)
		copy(b[at:], patch)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := open(path, partControl)
		if err != nil {
			return
		}
		defer s.Close()
		_ = s.Inside() + s.Outside() + s.Engine() + s.Name()
		_, _, _, _ = s.DataPlane(), s.ControlPlane(), s.Policy(), s.Core(0)
		w := s.Worker(0)
		if w == nil || len(w.FlowMemory) != flowtable.Size(w.Layout) {
			t.Fatal("an accepted segment has no worker")
		}
		_, _ = w.Flows()
		if _, err := NewConsumer(w.Requests).Peek(); err != nil && !errors.Is(err, ErrRingContent) {
			t.Fatal(err)
		}
	})
}

func TestStaleSegmentIsNotCurrentWhileAnotherIsBeingMade(t *testing.T) {
	eachPlace(t, testStaleIsNotCurrent)
}

func testStaleIsNotCurrent(t *testing.T, dir string) {
	mustCreate(t, dir, testParams(t)).Close()
	control, err := OpenControl(dir, "test")
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	if !control.Current() {
		t.Error("the segment of a data plane that was killed is not current")
	}
	fd, err := claimStale(Path(dir, "test"))
	if err != nil {
		t.Fatal(err)
	}
	if !control.DataPlaneRuns() || control.Current() {
		t.Errorf("while it is replaced: runs %v, current %v", control.DataPlaneRuns(), control.Current())
	}
	mark(fd, 0)
	_ = unix.Close(fd)
	// One that cannot be replaced, here because of what lies in the folder, is as it was, for the next data plane.
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if s, err := Create(dir, testParams(t)); err == nil {
		s.Close()
		t.Skip("this user may write anywhere")
	}
	if !control.Current() {
		t.Error("a segment that could not be replaced is not current")
	}
}
