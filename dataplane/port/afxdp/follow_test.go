package afxdp

import (
	"runtime"
	"testing"
	"time"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

func TestInterfaceMadeAnewIsTakenUpAgainWithoutALeak(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 9000)
	c := buffers(t, mbuf.JumboDataRoom)
	p := openJumbo(t, c)
	fd := p.Queue(0).(port.Waiter).Fd()
	for round := range 3 {
		command(t, "ip link del lc-p")
		porttest.Followed(t, p, c, porttest.IsGone)
		if p.Queue(0).TxBurst([]*mbuf.Mbuf{porttest.Alloc(t, c, porttest.Frame(60, 1))}) != 1 {
			t.Error("a packet for an interface that is gone is not taken")
		}
		veth(t, 1, 9000)
		if s := porttest.Followed(t, p, c, porttest.IsUp); s.Attached != round+2 || s.Fault != nil {
			t.Errorf("%+v", s)
		}
		carries(t, p, c, porttest.NewHost(t, "lc-h"), 64, 9014)
	}
	if got := p.Queue(0).(port.Waiter).Fd(); got != fd {
		t.Errorf("descriptor %d was %d", got, fd)
	}
	if s := p.Queue(0).Stats(); s.TxErrors != 3 {
		t.Errorf("%+v", s)
	}
	c.Flush()
	if free := c.Pool().Avail(); free != c.Pool().Size() {
		t.Errorf("%d buffers of %d are free", free, c.Pool().Size())
	}
}

func TestMTUAndLinkOfTheInterfaceAreFollowed(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 1500)
	c := buffers(t, mbuf.JumboDataRoom)
	p, h := openJumbo(t, c), porttest.NewHost(t, "lc-h")
	for _, mtu := range []int{1400, 9000} {
		command(t, "ip link set lc-h mtu %d", mtu)
		command(t, "ip link set lc-p mtu %d", mtu)
		if s := p.Follow(); s.Fault != nil || s.MTU != mtu || p.MTU() != mtu || s.Attached != 1 {
			t.Errorf("%+v", s)
		}
		carries(t, p, c, h, mtu+ethHeader)
	}
	command(t, "ip link set lc-p mtu 9500")
	if s := p.Follow(); s.Fault == nil || s.MTU != mbuf.JumboDataRoom-LinkOverhead {
		t.Errorf("%+v", s)
	}
	command(t, "ip link set lc-p mtu 9000 down")
	porttest.Followed(t, p, c, func(s port.State) bool { return s.Link == port.LinkDown })
	if p.Queue(0).TxBurst([]*mbuf.Mbuf{porttest.Alloc(t, c, porttest.Frame(60, 1))}) != 1 {
		t.Error("a packet for an interface that is down is not taken")
	}
	command(t, "ip link set lc-p up")
	porttest.Followed(t, p, c, porttest.IsUp)
	p.Queue(0).TxBurst([]*mbuf.Mbuf{porttest.Alloc(t, c, porttest.Frame(70, 1))}) // may meet what was left when the interface was down
	h = porttest.NewHost(t, "lc-h")
	carries(t, p, c, h, 64, 9014)
}

// TestOtherReceiveQueuesAreTakenUp has more come in all the while than the worker takes.
func TestOtherReceiveQueuesAreTakenUp(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 4, 1500)
	command(t, "ethtool -L lc-h tx 2")
	command(t, "ethtool -L lc-p rx 2") // the kernel takes no queue away that has a socket
	c := buffers(t, mbuf.DefaultDataRoom)
	p, h := openJumbo(t, c), porttest.NewHost(t, "lc-h")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_, _ = h.Write(udp(i % 64))
			}
		}
	}()
	var ms [port.Burst]*mbuf.Mbuf
	drain := func() int {
		n := p.Queue(0).RxBurst(ms[:])
		c.FreeBurst(ms[:n])
		return n
	}
	for drain() < len(ms) {
		runtime.Gosched()
	}
	command(t, "ethtool -L lc-p rx 4")
	porttest.Followed(t, p, c, func(s port.State) bool { return s.Attached == 2 && porttest.IsUp(s) })
	close(stop)
	<-done
	if got := len(p.at.sockets); got != 4 {
		t.Errorf("%d sockets", got)
	}
	for drain() > 0 {
	}
	carries(t, p, c, h, 100)
}

// TestWorkerIsNotHeldUpByFollowing has a worker poll and send all the while on another thread, as a gateway's does.
func TestWorkerIsNotHeldUpByFollowing(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1, 1500)
	c := buffers(t, mbuf.DefaultDataRoom)
	p := openJumbo(t, c)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		q := p.Queue(0)
		var ms [port.Burst]*mbuf.Mbuf
		for {
			select {
			case <-stop:
				return
			default:
			}
			n := q.RxBurst(ms[:])
			if n == 0 {
				ms[0], n = c.Alloc(), 1
				ms[0].Append(porttest.Frame(64, 1))
			}
			c.FreeBurst(ms[q.TxBurst(ms[:n]):n])
			runtime.Gosched()
		}
	}()
	for range 3 {
		command(t, "ip link del lc-p")
		await(t, p, porttest.IsGone)
		veth(t, 1, 1500)
		if s := await(t, p, porttest.IsUp); s.Fault != nil {
			t.Errorf("%+v", s)
		}
		p.Queue(0).Stats()
	}
	h := porttest.NewHost(t, "lc-h")
	if h.Receive() == nil {
		t.Error("the worker sends nothing")
	}
	close(stop)
	<-done
	c.Flush()
	if free := c.Pool().Avail(); free != c.Pool().Size() {
		t.Errorf("%d buffers of %d are free", free, c.Pool().Size())
	}
}

// await follows until the state is as wanted, with somebody else polling.
func await(t *testing.T, p port.Port, want func(port.State) bool) (s port.State) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s = p.Follow(); want(s) {
			return s
		}
	}
	t.Fatalf("state %+v", s)
	return s
}
