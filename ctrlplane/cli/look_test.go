package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/sample"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// fakeGateway is a segment with flow tables as a data plane makes them, in a run directory of the test's own.
type fakeGateway struct {
	in     *instance.Instance
	seg    *shm.Segment
	tables []*flowtable.Table
}

func newFakeGateway(t *testing.T) *fakeGateway {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "lc-look-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	t.Setenv(instance.EnvRunDir, base)
	g := &fakeGateway{}
	if g.in, err = instance.Open("gw"); err != nil {
		t.Fatal(err)
	}
	lock, err := g.in.Lock(instance.DataPlane)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := g.in.SegmentDir()
	if err != nil {
		t.Fatal(err)
	}
	g.seg, err = shm.Create(dir, shm.Params{
		Name: "gw", Inside: "eth0", Outside: "eth1", Kinds: [2]string{"packet", "dpdk"}, Poll: "adaptive", Engine: "generic", Cores: []int{3, -1},
		Flows: flowtable.Layout{Capacity: 100, Chunks: 10}, RequestRing: 128 << 10, ReplyRing: 128 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.seg.Close()
		lock.Release()
		g.in.Remove()
	})
	for i := range g.seg.Workers() {
		w := g.seg.Worker(i)
		table, err := flowtable.New(w.FlowMemory, w.Layout, [2]uint64{1, 2}, 0)
		if err != nil {
			t.Fatal(err)
		}
		g.tables = append(g.tables, table)
	}
	return g
}

// add enters a connection and returns its record.
func (g *fakeGateway) add(worker int, key flowtable.Key, state flowtable.State) (flowtable.Index, *flowtable.Record) {
	table := g.tables[worker]
	i, _ := table.Insert(&key, table.Hash(&key), 0)
	table.SetState(i, state)
	return i, table.Record(i)
}

func v4Key(inside, outside byte, insidePort, outsidePort uint16) flowtable.Key {
	var k flowtable.Key
	copy(k.Inside[10:], []byte{0xff, 0xff, 192, 0, 2, inside})
	copy(k.Outside[10:], []byte{0xff, 0xff, 198, 51, 100, outside})
	k.InsidePort, k.OutsidePort = insidePort, outsidePort
	return k
}

func v6Key() flowtable.Key {
	k := flowtable.Key{Inside: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}, Outside: [16]byte{0x20, 1, 0xd, 0xb8, 15: 2}}
	k.InsidePort, k.OutsidePort = 443, 50000
	return k
}

// now is CLOCK_MONOTONIC in ns, by which records are stamped.
func now(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

func TestNoEncryptedConnectionIsAnEmptyArray(t *testing.T) {
	g := newFakeGateway(t)
	g.add(0, v4Key(1, 1, 1, 1), flowtable.Plain)
	g.add(0, v4Key(1, 1, 2, 2), flowtable.PassiveInit)
	g.add(1, v4Key(1, 1, 3, 3), flowtable.Closing)
	if status, out, errs := call(t, "sessions", "--json", "--name", "gw"); status != exitOK || out != "[]\n" {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
	if _, out, _ := call(t, "sessions", "--name", "gw"); !strings.HasPrefix(out, "no encrypted connections") {
		t.Errorf("output %q", out)
	}
}

func TestSessionsListsBothWorkersOldestFirst(t *testing.T) {
	g := newFakeGateway(t)
	now := now(t)
	_, old := g.add(1, v6Key(), flowtable.Encrypted)
	old.Role, old.TEP, old.AEAD, old.Rare.Created = 2, 0x21|0x80, 2, now-3e9
	_, young := g.add(0, v4Key(1, 2, 40000, 80), flowtable.Encrypted)
	young.Flags, young.Role, young.TEP, young.AEAD, young.Rare.Created = flowtable.FlagActive, 1, 0x23, 1, now-1e9
	young.Rare.SealInit, young.Egress.WNext, young.Egress.PNext = 90, 90+20+2, 2
	young.Rare.SealGen, young.Rare.OpenGen = 8, 7
	young.Rare.OpenInit, young.Ingress.WOpen, young.Ingress.PNext = 80, 80+3*20+4, 4
	_, out, errs := call(t, "sessions", "--json", "--name", "gw")
	list, ok := decode(t, out).([]any)
	if !ok || len(list) != 2 {
		t.Fatalf("output %s, error %s", out, errs)
	}
	want := []string{"aead", "age_s", "auth", "client", "idle_s", "opened", "own_aware", "peer_aware", "rate_bps", "resumed", "role", "rule", "sealed", "server", "session_id", "state", "tep", "verdict"}
	for _, s := range list {
		if got := fields(t, s); !slices.Equal(got, want) {
			t.Errorf("fields %v, want %v", got, want)
		}
	}
	first, second := list[0].(map[string]any), list[1].(map[string]any)
	for name, want := range map[string]any{"client": "[2001:db8::2]:50000", "server": "[2001:db8::1]:443", "role": "B", "tep": "0x21", "aead": "AES_256_GCM"} {
		if first[name] != want {
			t.Errorf("old connection: %s is %v, want %v", name, first[name], want)
		}
	}
	for name, want := range map[string]any{"client": "192.0.2.1:40000", "server": "198.51.100.2:80", "role": "A", "tep": "0x23", "aead": "AES_128_GCM"} {
		if second[name] != want {
			t.Errorf("young connection: %s is %v, want %v", name, second[name], want)
		}
	}
	if age := second["age_s"].(float64); age < 1 || age > 2.9 {
		t.Errorf("age_s is %v", age)
	}
	sealed, opened := second["sealed"].(map[string]any), second["opened"].(map[string]any)
	if sealed["frames"] != 1.0 || sealed["bytes"] != 2.0 || opened["frames"] != 3.0 || opened["bytes"] != 4.0 ||
		sealed["generation"] != 8.0 || opened["generation"] != 7.0 || len(sealed) != 3 || len(opened) != 3 {
		t.Errorf("sealed %v, opened %v", sealed, opened)
	}
}

func TestStatusListsEveryDropReasonInJSON(t *testing.T) {
	g := newFakeGateway(t)
	g.seg.SetReady(true)
	g.seg.SetLink(flowtable.Outside, shm.LinkGone, 1400)
	for i, n := range []uint64{5, 7} {
		c := g.seg.Worker(i).Counters
		c[shm.DropParse], c[shm.RxInsidePackets], c[shm.RxInsideBytes], c[shm.TxOutsidePackets] = n, 10*n, 1000*n, n
		c[shm.StageCrypto.Packets()], c[shm.StageCrypto.Cycles()] = n, 100*n
		c[shm.BusyCycles], c[shm.IdleCycles] = 1, 3
		c[shm.DropEgressWindow] = n
	}
	g.add(0, v6Key(), flowtable.Encrypted)
	status, out, errs := call(t, "status", "--json", "--name", "gw")
	if status != exitOK {
		t.Fatalf("status %d, error %s", status, errs)
	}
	st := decode(t, out).(map[string]any)
	want := []string{"aborts", "control_plane", "cores", "counters", "data_plane", "drops", "encryption", "engine", "flows", "key_log", "name", "overloads", "plain", "policy", "poll", "ports", "ready", "refusals", "resumption", "segment", "since", "stages"}
	if got := fields(t, st); !slices.Equal(got, want) {
		t.Errorf("fields %v, want %v", got, want)
	}
	drops := map[string]any{}
	for _, d := range st["drops"].([]any) {
		drops[d.(map[string]any)["name"].(string)] = d.(map[string]any)["count"]
	}
	g.seg.Counters().Range(func(_ shm.Counter, info shm.Info) bool {
		if _, ok := drops[info.Name]; ok != (info.Kind == shm.KindDrop) {
			t.Errorf("%s among the drops: %v", info.Name, ok)
		}
		return true
	})
	if drops["drop_parse"] != 12.0 || drops["drop_egress_window"] != 12.0 || drops["drop_table_full"] != 0.0 {
		t.Errorf("drops %v", drops)
	}
	port := st["ports"].([]any)[0].(map[string]any)
	if port["side"] != "inside" || port["name"] != "eth0" || port["rx_packets"] != 120.0 || port["rx_bytes"] != 12000.0 {
		t.Errorf("inside port %v", port)
	}
	if port["kind"] != "packet" || port["link"] != "unknown" || port["queues"] != 2.0 || st["poll"] != "adaptive" {
		t.Errorf("inside port %v, polling %v", port, st["poll"])
	}
	if port := st["ports"].([]any)[1].(map[string]any); port["kind"] != "dpdk" || port["link"] != "gone" {
		t.Errorf("outside port %v", port)
	}
	core := st["cores"].([]any)[1].(map[string]any)
	if core["core"] != -1.0 || core["busy"] != 0.25 || core["drops"] != 14.0 || core["rx_packets"] != 70.0 {
		t.Errorf("second worker %v", core)
	}
	flows := st["flows"].(map[string]any)
	states := flows["states"].(map[string]any)
	if flows["total"] != 1.0 || flows["capacity"] != 200.0 || states["encrypted"] != 1.0 || states["plain"] != 0.0 || len(states) != int(flowtable.NumStates)-1 {
		t.Errorf("flows %v", flows)
	}
	if data := st["data_plane"].(map[string]any); data["running"] != true || data["pid"] != float64(os.Getpid()) || st["ready"] != true {
		t.Errorf("data plane %v", data)
	}
	if seg := st["segment"].(map[string]any); seg["huge_pages"] != false || seg["page_bytes"] != 4096.0 || seg["bytes"] != float64(g.seg.Size()) || seg["folder"] != g.seg.Dir() {
		t.Errorf("segment %v", seg)
	}
	if ctrl := st["control_plane"].(map[string]any); ctrl["running"] != false || ctrl["pid"] != 0.0 {
		t.Errorf("control plane %v", ctrl)
	}
}

func TestStatusBeginsWithWhatIsEncryptedAndThenSaysWhatIsWrong(t *testing.T) {
	st := &Status{
		Name: "gw", Policy: "require", Engine: "generic", Poll: "busy", Segment: SegmentStatus{"/dev/hugepages/x", 3<<20 - 1, 2 << 20, true}, DataPlane: ProcessState{true, 7, 1, false}, Ready: true,
		Since:      time.Date(2026, 11, 29, 9, 12, 0, 0, time.Local),
		Encryption: Encryption{Encrypted: 997, Plain: 2, Refused: 1, EncryptedNow: 12, PlainNow: 1, EncryptedBytes: 999_999_999, PlainBytes: 1},
		now:        sample.Rates{Handshakes: 2.25, Sealed: 1.25e9, Opened: 900},
		KeyLog:     "/root/keys",
		Ports:      []PortStatus{{"inside", "eth0", "packet", "up", 1500, 2, 1, 2, 3, 4}, {"outside", "eth1", "packet", "gone", 1400, 2, 5_600_000, 6e9, 7, 8}},
		Cores:      []CoreStatus{{0, 3, 6, 10, 2, 0.256, 0, 1}, {1, -1, 0, 0, 0, 0, 0, 0}},
		Flows:      FlowStatus{200, 1, map[string]uint64{"encrypted": 1, "plain": 0}},
		Drops:      []NamedCount{{"drop_egress_old", 2, "packets", "things"}, {"drop_rx_missed", 9, "packets", "x"}, {"drop_c", 0, "packets", "x"}},
		Plain:      []NamedCount{{"plain_bad_eno", 1, "connections", "connections left plain because of this"}, {"plain_no_eno_in_syn", 3, "connections", "connections left plain because no option came"}, {"plain_policy", 0, "connections", "x"}},
		Refusals:   []NamedCount{{"refused_table_full", 1, "connections", "connections refused because the table is full"}},
		Overloads:  []NamedCount{{"half_open_evicted", 4, "requests", "old ones"}},
		Counters:   []NamedCount{{"refused_table_full", 1, "connections", "said already"}},
		Stages:     []StageStatus{{"rx", 4, 100, 25}, {"parse", 0, 0, 0}},
	}
	const want = `gateway gw between eth0 (inside) and eth1 (outside), policy require, since 2026-11-29 09:12:00

ENCRYPTED     99.7 % of the connections (997, 12 of them now), 99.9 % of the data (1.0 GB)
              now 1.2 Gbit/s sealed, 900 bit/s opened, 2.2 new a second
IN THE CLEAR  0.2 % of the connections (2, 1 of them now), 1 B, now 0 bit/s
           3  no_eno_in_syn: no option came
           1  bad_eno: of this
REFUSED       0.1 % of the connections (1); linecrypt sessions --refused lists the latest
           1  table_full: the table is full

TROUBLE
  the control plane does not run: encrypted connections go on, new ones follow the policy
  WARNING: the keys of new connections are written to /root/keys; debug.key_log: off and ` + "`linecrypt reload`" + ` end that
  port eth1 (outside) is gone
  9 drop_rx_missed: a worker is too slow: give each a core of its own (workers.cores), add workers, or set workers.poll: busy
  1 refused_table_full: raise flows.max: connections are refused because there is no place for them

PORT      NAME   KIND     LINK   MTU    QUEUES   RECEIVED                SENT
inside    eth0   packet   up     1500   2        1 packets, 2 B          3 packets, 4 B
outside   eth1   packet   gone   1400   2        5.6 M packets, 6.0 GB   7 packets, 8 B

WORKER   CORE   BUSY NOW   RECEIVED    SENT         FLOWS
0        3      25.6 %     6 packets   10 packets   1
1        any    0.0 %      0 packets   0 packets    0

CONNECTIONS   1 of 200
encrypted     1

DROPPED ON PURPOSE
drop_egress_old   2   things

BOUNDS THAT WERE REACHED
half_open_evicted   4   old ones

STAGE   PACKETS   CYCLES A PACKET
rx      4         25

data plane pid 7, control plane not running, engine generic, polling busy, 3 MiB of huge pages of 2048 KiB in /dev/hugepages/x
`
	var b bytes.Buffer
	if err := st.print(&b); err != nil {
		t.Fatal(err)
	}
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	quiet := &Status{Name: "gw", DataPlane: ProcessState{Running: true}, ControlPlane: ProcessState{Running: true}, Ready: true, Ports: make([]PortStatus, 2)}
	b.Reset()
	if err := quiet.print(&b); err != nil || !strings.Contains(b.String(), "no TCP connection has come through yet") || !strings.Contains(b.String(), "TROUBLE       none") {
		t.Errorf("%v\n%s", err, b.String())
	}
}

func TestSegmentLiesWherePackageInstanceSays(t *testing.T) {
	g := newFakeGateway(t)
	dir, err1 := g.in.SegmentDir()
	path, err2 := g.in.SegmentPath()
	if err1 != nil || err2 != nil || path != shm.Path(dir, "gw") {
		t.Fatalf("%s in %s (%v, %v), package shm says %s", path, dir, err1, err2, shm.Path(dir, "gw"))
	}
	if _, err := os.Stat(filepath.Join(dir, filepath.Base(path))); err != nil {
		t.Fatal(err)
	}
}

func TestSessionIDComesFromTheSessionTable(t *testing.T) {
	g := newFakeGateway(t)
	i, r := g.add(1, v4Key(1, 2, 40000, 80), flowtable.Encrypted)
	r.TEP = 0x23
	table, err := sessiontable.OpenWriter(g.in.SessionTablePath(), sessiontable.Options{Capacity: 10, Instance: g.seg.Nonce(), Group: -1})
	if err != nil {
		t.Fatal(err)
	}
	e := sessiontable.Entry{Tuple: r.Key, Worker: 1, Index: i, Gen: r.Gen, SessionID: [33]byte{0x23, 0xab, 32: 0xcd}}
	if err := table.Insert(&e); err != nil {
		t.Fatal(err)
	}
	// The control plane that wrote the table is gone by the time it is read.
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := readSessions(g.in, g.seg, &sessionsQuery{json: true})
	if want := "23ab" + strings.Repeat("0", 60) + "cd"; err != nil || len(list) != 1 || list[0].SessionID != want {
		t.Fatalf("sessions %+v, error %v; want session ID %s", list, err, want)
	}
}

// A process that was stopped has its lock, and says nothing more.
func TestStatusTellsOfProcessesThatGiveNoSignOfLife(t *testing.T) {
	g := newFakeGateway(t)
	seen, err := shm.Open(g.seg.Dir(), "gw") // who has the lock must not ask whether somebody has
	if err != nil {
		t.Fatal(err)
	}
	defer seen.Close()
	st := func() (*Status, string) {
		t.Helper()
		st, err := readStatus(g.in, seen)
		if err != nil {
			t.Fatal(err)
		}
		return st, strings.Join(st.wrong(), "\n")
	}
	g.seg.SetReady(true)
	g.seg.Beat(now(t))
	if st, wrong := st(); !st.Ready || strings.Contains(wrong, "sign of life") {
		t.Errorf("ready %v, %q", st.Ready, wrong)
	}
	g.seg.Beat(now(t) - 3e9)
	if st, wrong := st(); st.Ready || !strings.Contains(wrong, "the data plane gives no sign of life: nothing passes") {
		t.Errorf("ready %v, %q", st.Ready, wrong)
	}
}
