package afpacket

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

// forward moves packets between two ports until stop is closed.
func forward(a, b port.Queue, ca *mbuf.Cache, stop <-chan struct{}) {
	var ms [port.Burst]*mbuf.Mbuf
	for {
		select {
		case <-stop:
			return
		default:
		}
		for _, dir := range [][2]port.Queue{{a, b}, {b, a}} {
			n := dir[0].RxBurst(ms[:])
			sent := dir[1].TxBurst(ms[:n])
			ca.FreeBurst(ms[sent:n])
		}
	}
}

func TestKernelTCPRunsThroughTwoPacketPorts(t *testing.T) {
	testenv.NeedRoot(t)
	client, middle, server := testenv.NewNetNS(t), testenv.NewNetNS(t), testenv.NewNetNS(t)
	devC, devInside := testenv.Veth(t, client, middle)
	devS, devOutside := testenv.Veth(t, server, middle)
	testenv.RunIn(t, client, "ip", "addr", "add", "10.9.0.1/24", "dev", devC)
	testenv.RunIn(t, server, "ip", "addr", "add", "10.9.0.2/24", "dev", devS)
	// Checksum offload stays on, so every packet comes with an unfinished checksum.
	for ns, dev := range map[string]string{client: devC, server: devS} {
		testenv.RunIn(t, ns, "ethtool", "-K", dev, "tso", "off", "gso", "off")
	}
	cfg := config(t, 1, 8192)
	inside, outside := openIn(t, middle, devInside, cfg), openIn(t, middle, devOutside, cfg)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		forward(inside.Queue(0), outside.Queue(0), cfg.Caches[0], stop)
		close(stopped)
	}()
	t.Cleanup(func() {
		close(stop)
		<-stopped
	})
	begin := time.Now()
	const size = 16 << 20
	want, got := transfer(t, client, server, size)
	if want != got {
		t.Error("the data changed on the way")
	}
	t.Logf("%.0f MB/s; inside %+v, outside %+v", size/1e6/time.Since(begin).Seconds(),
		inside.Queue(0).Stats(), outside.Queue(0).Stats())
}

// transfer sends size bytes over TCP and returns the hashes of what was sent and received.
func transfer(t *testing.T, client, server string, size int) (sent, received [32]byte) {
	var l net.Listener
	var c net.Conn
	var err error
	testenv.InNetNS(t, server, func() { l, err = net.Listen("tcp", "10.9.0.2:5000") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan [32]byte, 1)
	go func() {
		h := sha256.New()
		if peer, err := l.Accept(); err == nil {
			_, _ = io.Copy(h, peer)
			_ = peer.Close()
		}
		done <- [32]byte(h.Sum(nil))
	}()
	testenv.InNetNS(t, client, func() { c, err = net.DialTimeout("tcp", "10.9.0.2:5000", 5*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	chacha := rand.NewChaCha8([32]byte{1})
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.CopyN(io.MultiWriter(c, h), chacha, int64(size)); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return [32]byte(h.Sum(nil)), <-done
}
