package topology

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"linecrypt/bench/pattern"
	"linecrypt/bench/testenv"
)

func newTopology(t *testing.T, opts Options) *Topology {
	t.Helper()
	testenv.NeedRoot(t)
	if err := Tools(); err != nil {
		testenv.Skip(t, err.Error())
	}
	top, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := top.Close(); err != nil {
			t.Error(err)
		}
	})
	return top
}

func TestPlainNetworkCarriesTCPAndTheCaptureShowsIt(t *testing.T) {
	top := newTopology(t, Options{})
	for _, side := range []Side{SideA, SideB} {
		if err := top.Plain(side); err != nil {
			t.Fatal(err)
		}
	}
	capture, err := top.Capture("wire.pcap")
	if err != nil {
		t.Fatal(err)
	}
	const size, stream = 3_000_000, 77
	for _, addr := range []string{Server4 + ":7000", "[" + Server6 + "]:7000"} {
		transfer(t, top, addr, stream, size)
	}
	path, lost, err := capture.Stop()
	if err != nil || lost != 0 {
		t.Fatalf("lost %d: %v", lost, err)
	}
	w, err := Examine(path)
	if err != nil {
		t.Fatal(err)
	}
	if w.SYN < 2 || w.SYNACK < 2 || w.SYNWithENO+w.SYNACKWithENO != 0 || w.Payload < 2*size {
		t.Errorf("capture shows %+v", w)
	}
	if w.Plaintext < 2*size/1460 || !strings.Contains(w.First, fmt.Sprintf("stream %d", stream)) {
		t.Errorf("plaintext not seen: %+v", w)
	}
}

// transfer sends bytes of a stream from client to server and verifies them there.
func transfer(t *testing.T, top *Topology, addr string, stream uint32, size int64) {
	t.Helper()
	l, err := top.Server.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	received := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			received <- err
			return
		}
		defer conn.Close()
		v := &pattern.Verifier{Stream: stream}
		if _, err = io.Copy(v, conn); err == nil && v.Offset != size {
			err = fmt.Errorf("%d of %d bytes", v.Offset, size)
		}
		received <- err
	}()
	conn, err := top.Client.Dial(context.Background(), addr)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(conn, &pattern.Reader{Stream: stream, Left: size}); err != nil {
		t.Error(err)
	}
	conn.Close()
	if err := <-received; err != nil {
		t.Error(err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	top := newTopology(t, Options{Direct: true})
	id, dir := top.ID, top.Dir
	segment := leaveSegment(t, id+"-a")
	if err := top.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(segment); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", segment, err)
	}
	left, _ := filepath.Glob(filepath.Join(netnsDir, id+"*"))
	if _, err := os.Stat(dir); len(left) != 0 || !os.IsNotExist(err) {
		t.Errorf("left: %v, folder: %v", left, err)
	}
}

// leaveSegment makes a file where a gateway of that name would have its segment, and returns its path.
func leaveSegment(t *testing.T, name string) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", fmt.Sprintf("linecrypt-%d-*", os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	path := filepath.Join(folder, segmentPrefix+name)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSweepRemovesWhatAKilledProcessLeftAndNothingElse(t *testing.T) {
	top := newTopology(t, Options{Direct: true})
	dead := exec.Command("true")
	if err := dead.Run(); err != nil {
		t.Fatal(err)
	}
	orphan := NetNS(fmt.Sprintf("lc-%d-1-1-client", dead.Process.Pid))
	if err := orphan.add(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := orphan.remove(); err != nil {
			t.Error(err)
		}
	})
	stranger := testenv.NewNetNS(t)
	segment := leaveSegment(t, fmt.Sprintf("lc-%d-1-1-a", dead.Process.Pid))
	gone, err := Sweep()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(segment); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", segment, err)
	}
	if list := strings.Join(gone, " "); !strings.Contains(list, string(orphan)) || strings.Contains(list, top.ID) {
		t.Errorf("removed %v", gone)
	}
	for _, ns := range []string{stranger, string(top.Client)} {
		if _, err := os.Stat(filepath.Join(netnsDir, ns)); err != nil {
			t.Error(err)
		}
	}
}
