//go:build dpdk && cgo

package dpdk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

const (
	poolSize = 24576
	dataRoom = mbuf.DefaultDataRoom
)

// EAL starts once in a process, so all tests share it and one pool.
var (
	testInfo Info
	testPool *pool
)

func TestMain(m *testing.M) {
	var err error
	if testInfo, err = Init(Options{Name: instance(), MemMB: MemMB(poolSize, dataRoom) + 128}); err == nil {
		var p mbuf.Pool
		p, err = NewPool("test", poolSize, dataRoom)
		testPool, _ = p.(*pool)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func instance() string { return fmt.Sprintf("test-%d", os.Getpid()) }

// open opens a device with one queue over a cache of its own; it is closed when the test ends.
func open(t testing.TB, device string) (port.Port, *mbuf.Cache) {
	t.Helper()
	return openOver(t, device, testPool, 0)
}

// openOver is open over another pool, with an MTU for a device without an interface.
func openOver(t testing.TB, device string, pool mbuf.Pool, mtu int) (port.Port, *mbuf.Cache) {
	t.Helper()
	c := mbuf.NewCache(pool)
	p, err := Open(device, port.Config{Queues: 1, Caches: []*mbuf.Cache{c}, MTU: mtu})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		c.Flush()
	})
	return p, c
}

var deviceNumber atomic.Int32

// vdev names a new virtual device of a driver.
func vdev(driver, args string) string {
	return fmt.Sprintf("%s%d%s", driver, deviceNumber.Add(1), args)
}

func TestEALRunsOnceAndLeavesNoFile(t *testing.T) {
	if _, err := Init(Options{}); err == nil {
		t.Error("EAL started twice")
	}
	left, _ := filepath.Glob("/var/run/dpdk/linecrypt-" + instance() + "*")
	maps, _ := filepath.Glob("/dev/hugepages/*" + instance() + "*")
	if len(left)+len(maps) != 0 {
		t.Errorf("left behind: %v %v", left, maps)
	}
	if testInfo.HugePages != (testInfo.Reason == "") || !strings.HasPrefix(testInfo.Version, "DPDK 2") || testInfo.IOVA != "va" {
		t.Errorf("info %+v", testInfo)
	}
	t.Logf("%+v", testInfo)
}

func TestPoolGivesEveryBufferOnceAndTakesItBack(t *testing.T) {
	const n = 600
	mp, err := NewPool("small", n, dataRoom)
	if err != nil {
		t.Fatal(err)
	}
	if mp.Size() != n || mp.Avail() != n || mp.DataRoom() != dataRoom {
		t.Errorf("size %d, available %d, data room %d", mp.Size(), mp.Avail(), mp.DataRoom())
	}
	ms := make([]*mbuf.Mbuf, n)
	if !mp.AllocBulk(ms) || mp.Avail() != 0 {
		t.Fatalf("available %d", mp.Avail())
	}
	if mp.AllocBulk(make([]*mbuf.Mbuf, 1)) {
		t.Error("an empty pool gave a buffer")
	}
	seen := map[*mbuf.Mbuf]bool{}
	for _, m := range ms {
		seen[m] = true
		if m.RefCnt() != 1 || m.BufLen != mbuf.Headroom+dataRoom || m.DataOff() != mbuf.Headroom || m.NbSegs != 1 || m.Next != nil {
			t.Fatalf("buffer not as Go sees one: %+v", *m)
		}
	}
	if len(seen) != n {
		t.Errorf("%d different buffers", len(seen))
	}
	mp.FreeBulk(ms)
	if mp.Avail() != n || mp.(*pool).count() != n {
		t.Errorf("available %d after free", mp.Avail())
	}
}

func TestPoolRefusesWhatItCannotHold(t *testing.T) {
	for _, c := range []struct{ n, room int }{{0, 2048}, {-1, 2048}, {10, 0}, {10, 65535}, {1 << 26, 2048}} {
		if _, err := NewPool("bad", c.n, c.room); err == nil || !strings.Contains(err.Error(), "dpdk pool bad") {
			t.Errorf("%d buffers of %d: %v", c.n, c.room, err)
		}
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	good := []*mbuf.Cache{mbuf.NewCache(testPool)}
	arena, err := mbuf.NewArena(8, 2048)
	if err != nil {
		t.Fatal(err)
	}
	defer arena.Close()
	for _, c := range []struct {
		device string
		cfg    port.Config
		want   string
	}{
		{"eth0", port.Config{Queues: 1, Caches: good}, "neither a PCI address"},
		{"net_", port.Config{Queues: 1, Caches: good}, "neither a PCI address"},
		{"net_bogus0", port.Config{Queues: 1, Caches: good}, "probe"},
		{"net_null90", port.Config{Queues: 2, Caches: good}, "2 queues with 1 buffer caches"},
		{"net_null91", port.Config{Queues: 1, Caches: []*mbuf.Cache{nil}}, "no buffer cache"},
		{"net_null92", port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(arena)}}, "not of a DPDK pool"},
		{"net_af_xdp90,iface=lc-none", port.Config{Queues: 1, Caches: good}, "interface lc-none"},
		{"net_af_packet90,iface=lc-none", port.Config{Queues: 1, Caches: good}, "interface lc-none"},
		{"net_null93,bogus=1", port.Config{Queues: 1, Caches: good}, "probe"},
		{"net_pcap90,rx_pcap=/nonexistent.pcap", port.Config{Queues: 1, Caches: good}, "nonexistent"},
		{"0000:ff:1f.7", port.Config{Queues: 1, Caches: good}, "vfio-pci"},
	} {
		_, err := Open(c.device, c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.device) {
			t.Errorf("%s: %v, want %q", c.device, err, c.want)
		}
	}
}

func TestOpenRefusesMoreQueuesThanTheDeviceHas(t *testing.T) {
	caches := []*mbuf.Cache{mbuf.NewCache(testPool), mbuf.NewCache(testPool)}
	path := writePcap(t, porttest.Frame(60, 1))
	device := vdev("net_pcap", ",rx_pcap="+path)
	_, err := Open(device, port.Config{Queues: 2, Caches: caches})
	if err == nil || !strings.Contains(err.Error(), "2 are asked for, the device has 1") {
		t.Errorf("got %v", err)
	}
}

func TestFailedOpenLeavesTheDeviceToTheNext(t *testing.T) {
	device := vdev("net_null", "")
	c := mbuf.NewCache(testPool)
	if _, err := Open(device, port.Config{Queues: 1024, Caches: make([]*mbuf.Cache, 1024)}); err == nil {
		t.Fatal("opened without caches")
	}
	for range 3 {
		p, err := Open(device, port.Config{Queues: 1, Caches: []*mbuf.Cache{c}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNullDeviceReceivesAndFrees(t *testing.T) {
	before := testPool.count()
	p, c := open(t, vdev("net_null", ",size=1000"))
	if p.Kind() != "dpdk" || p.Queues() != 1 || p.MTU() < 1500 || p.Follow().Link != port.LinkUp {
		t.Errorf("kind %s, %d queues, MTU %d, %+v", p.Kind(), p.Queues(), p.MTU(), p.Follow())
	}
	q := p.Queue(0)
	var ms [port.Burst]*mbuf.Mbuf
	if n := q.RxBurst(ms[:]); n != len(ms) {
		t.Fatalf("received %d", n)
	}
	for _, m := range ms {
		if m.DataLen != 1000 || m.PktLen != 1000 || m.NbSegs != 1 || m.RefCnt() != 1 {
			t.Fatalf("received %+v", *m)
		}
	}
	c.FreeBurst(ms[:16])
	if n := q.TxBurst(ms[16:]); n != len(ms)-16 {
		t.Fatalf("sent %d", n)
	}
	c.Flush()
	if after := testPool.count(); after != before {
		t.Errorf("pool has %d buffers, had %d", after, before)
	}
}

func TestRingDeviceReturnsWhatWasSent(t *testing.T) {
	p, c := open(t, vdev("net_ring", ""))
	q := p.Queue(0)
	tx := make([]*mbuf.Mbuf, 40)
	for i := range tx {
		tx[i] = porttest.Alloc(t, c, porttest.Frame(60+i, byte(i)))
	}
	if n := q.TxBurst(tx); n != len(tx) {
		t.Fatalf("sent %d", n)
	}
	rx := make([]*mbuf.Mbuf, 64)
	n := q.RxBurst(rx)
	if n != len(tx) {
		t.Fatalf("received %d", n)
	}
	for i, m := range rx[:n] {
		if !bytes.Equal(m.Data(), porttest.Frame(60+i, byte(i))) {
			t.Errorf("packet %d differs", i)
		}
	}
	c.FreeBurst(rx[:n])
}

func TestPcapDeviceDropsWhatIsNoWholeFrame(t *testing.T) {
	before := testPool.count()
	path := writePcap(t, porttest.Frame(60, 1), porttest.Frame(5000, 2), porttest.Frame(14, 3)[:13], porttest.Frame(1514, 4))
	p, c := open(t, vdev("net_pcap", ",rx_pcap="+path))
	q := p.Queue(0)
	rx := make([]*mbuf.Mbuf, 32)
	n := q.RxBurst(rx)
	if n != 2 || !bytes.Equal(rx[0].Data(), porttest.Frame(60, 1)) || !bytes.Equal(rx[1].Data(), porttest.Frame(1514, 4)) {
		t.Fatalf("received %d", n)
	}
	if s := q.Stats(); s.RxSuperPacket != 1 || s.RxTruncated != 1 {
		t.Errorf("stats %+v", s)
	}
	c.FreeBurst(rx[:n])
	c.Flush()
	if after := testPool.count(); after != before {
		t.Errorf("pool has %d buffers, had %d", after, before)
	}
}

// writePcap writes frames as a capture file and returns its path.
func writePcap(t *testing.T, frames ...[]byte) string {
	t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = binary.LittleEndian.AppendUint32(b, 2|4<<16)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, 65535)
	b = binary.LittleEndian.AppendUint32(b, 1)
	for _, f := range frames {
		b = append(b, make([]byte, 8)...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	path := filepath.Join(t.TempDir(), "in.pcap")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestBurstsDoNotAllocate(t *testing.T) {
	p, _ := open(t, vdev("net_null", ""))
	q := p.Queue(0)
	ms := make([]*mbuf.Mbuf, port.Burst)
	if a := testing.AllocsPerRun(100, func() { q.TxBurst(ms[:q.RxBurst(ms)]) }); a != 0 {
		t.Errorf("%v allocations a burst", a)
	}
	c := mbuf.NewCache(testPool)
	if a := testing.AllocsPerRun(100, func() {
		c.AllocBurst(ms)
		c.FreeBurst(ms)
		c.Flush()
	}); a != 0 {
		t.Errorf("%v allocations a bulk", a)
	}
}

func TestStatsDoNotAllocate(t *testing.T) {
	p, _ := open(t, vdev("net_null", ""))
	q := p.Queue(0)
	if a := testing.AllocsPerRun(100, func() { q.Stats() }); a != 0 {
		t.Errorf("%v allocations", a)
	}
}

func BenchmarkRxBurstEmpty(b *testing.B) {
	p, _ := open(b, vdev("net_null", ",no-rx=1"))
	q := p.Queue(0)
	ms := make([]*mbuf.Mbuf, port.Burst)
	b.ReportAllocs()
	for b.Loop() {
		q.RxBurst(ms)
	}
}

func BenchmarkTxBurstEmpty(b *testing.B) {
	p, _ := open(b, vdev("net_null", ",no-rx=1"))
	q := p.Queue(0)
	ms := make([]*mbuf.Mbuf, port.Burst)
	b.ReportAllocs()
	for b.Loop() {
		q.TxBurst(ms[:0])
	}
}

// BenchmarkForward moves bursts of 32 from and to net_null.
func BenchmarkForward(b *testing.B) {
	for _, size := range []int{64, 1460} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p, _ := open(b, vdev("net_null", fmt.Sprintf(",size=%d", size)))
			q := p.Queue(0)
			ms := make([]*mbuf.Mbuf, port.Burst)
			b.ReportAllocs()
			b.SetBytes(int64(size * port.Burst))
			for b.Loop() {
				q.TxBurst(ms[:q.RxBurst(ms)])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*port.Burst), "ns/packet")
		})
	}
}

func BenchmarkAllocFree(b *testing.B) {
	c := mbuf.NewCache(testPool)
	ms := make([]*mbuf.Mbuf, 2*mbuf.CacheChunk)
	b.ReportAllocs()
	for b.Loop() {
		c.AllocBurst(ms)
		c.FreeBurst(ms)
		c.Flush()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(ms)), "ns/buffer")
}
