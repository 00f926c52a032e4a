//go:build dpdk && cgo

package dpdk

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

func TestInterfaceMadeAnewIsTakenUpAgainWithoutALeak(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			p, c := open(t, vdev(driver, ",iface=lc-p"))
			fd := p.Queue(0).(port.Waiter).Fd()
			c.Flush()
			free := testPool.count()
			for round := range 4 {
				command(t, "ip link del lc-p")
				porttest.Followed(t, p, c, porttest.IsGone)
				if m := porttest.Alloc(t, c, porttest.Frame(60, 1)); p.Queue(0).TxBurst([]*mbuf.Mbuf{m}) != 1 {
					t.Error("a packet for an interface that is gone is not taken")
				}
				veth(t, 1)
				if s := porttest.Followed(t, p, c, porttest.IsUp); s.Attached != round+2 || s.Fault != nil {
					t.Errorf("%+v", s)
				}
				carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
			}
			if got := p.Queue(0).(port.Waiter).Fd(); got != fd {
				t.Errorf("descriptor %d was %d", got, fd)
			}
			c.Flush()
			// What is on its way back from the kernel is not lost.
			if after := testPool.count(); after < free-256 {
				t.Errorf("%d buffers are free, before %d", after, free)
			}
		})
	}
}

func TestMTUOfTheInterfaceBelowIsFollowed(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			p, c := open(t, vdev(driver, ",iface=lc-p"))
			for _, mtu := range []int{1400, 1500} {
				command(t, fmt.Sprintf("ip link set lc-p mtu %d", mtu))
				if s := porttest.Followed(t, p, c, func(s port.State) bool { return s.MTU == mtu }); s.Fault != nil || p.MTU() != mtu {
					t.Errorf("%+v", s)
				}
			}
			command(t, "ip link set lc-p down")
			porttest.Followed(t, p, c, func(s port.State) bool { return s.Link == port.LinkDown })
			command(t, "ip link set lc-p up")
			porttest.Followed(t, p, c, porttest.IsUp)
			// The first frame may meet the error that going down left at a socket.
			other := porttest.Frame(60, 1)
			other[12] = 0x08
			p.Queue(0).TxBurst([]*mbuf.Mbuf{porttest.Alloc(t, c, other)})
			carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
		})
	}
}

func TestXDPProgramThatIsTakenAwayIsAttachedAgain(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1)
	p, c := open(t, vdev("net_af_xdp", ",iface=lc-p"))
	command(t, "ip link set lc-p xdp off")
	porttest.Followed(t, p, c, func(s port.State) bool { return s.Attached == 2 && porttest.IsUp(s) })
	carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
}

func TestInterfaceThatMayNotBeClaimedIsLeftAlone(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1)
	held := errors.New("held by another")
	var claim error
	c := mbuf.NewCache(testPool)
	cfg := port.Config{Queues: 1, Caches: []*mbuf.Cache{c}, Claim: func(string, int) error { return claim }}
	p, err := Open(vdev("net_af_xdp", ",iface=lc-p"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	claim = held
	if _, err := Open(vdev("net_af_xdp", ",iface=lc-p"), cfg); !errors.Is(err, held) {
		t.Errorf("a second port: %v", err)
	}
	carriesFrames(t, p, c, porttest.NewHost(t, "lc-h"))
	command(t, "ip link del lc-p")
	porttest.Followed(t, p, c, porttest.IsGone)
	veth(t, 1)
	porttest.Followed(t, p, c, func(s port.State) bool { return porttest.IsGone(s) && errors.Is(s.Fault, held) })
	claim = nil
	p.(*device).failed = time.Time{}
	porttest.Followed(t, p, c, porttest.IsUp)
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	c.Flush()
}

func TestInterfaceThatADriverMakesIsClaimed(t *testing.T) {
	porttest.InNamespace(t)
	var claimed []string
	cfg := port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(testPool)}, Claim: func(name string, _ int) error {
		claimed = append(claimed, name)
		return nil
	}}
	p, err := Open(vdev("net_tap", ",iface=lc-tap"), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(claimed, []string{"lc-tap"}) {
		t.Errorf("claimed %q", claimed)
	}
}

func TestEveryReceiveQueueOfAnInterfaceIsServed(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 4)
	command(t, "ethtool -L lc-h rx 4 tx 3")
	command(t, "ethtool -L lc-p rx 3 tx 4")
	p, c := open(t, vdev("net_af_xdp", ",iface=lc-p"))
	h := porttest.NewHost(t, "lc-h")
	const flows = 64
	for n := range flows {
		// The kernel chooses the queue by the hash of the addresses.
		f := porttest.Frame(60, byte(n))
		f[6], f[11] = 2, byte(n)
		h.Send(f)
	}
	seen := map[byte]bool{}
	for range flows {
		m := porttest.Poll(p.Queue(0), c)
		if m == nil {
			break
		}
		seen[m.Data()[11]] = true
		c.Free(m)
	}
	if len(seen) != flows {
		t.Errorf("%d of %d flows arrived", len(seen), flows)
	}
	carriesFrames(t, p, c, h)
	command(t, "ethtool -L lc-p rx 4 tx 4")
	porttest.Followed(t, p, c, func(s port.State) bool { return s.Attached == 2 && porttest.IsUp(s) })
	carriesFrames(t, p, c, h)
}

func TestDevicesServeTheQueuesThatTheUserNames(t *testing.T) {
	const base = "net_af_xdp0,iface=x"
	for _, c := range []struct {
		device string
		queues int
		want   []string
	}{
		{base, 1, []string{base}},
		{base, 3, []string{base + ",start_queue=0", "net_af_xdp0_q1,iface=x,start_queue=1", "net_af_xdp0_q2,iface=x,start_queue=2"}},
		{base + ",start_queue=2", 3, []string{base + ",start_queue=2"}},
		{base + ",start_queue=1", 3, []string{base + ",start_queue=1", "net_af_xdp0_q1,iface=x,start_queue=2"}},
		{base + ",queue_count=2,start_queue=1", 8, []string{base + ",start_queue=1", "net_af_xdp0_q1,iface=x,start_queue=2"}},
		{base + ",queue_count=1", 8, []string{base + ",queue_count=1"}},
		{base + ",xdp_prog=/p.o", 8, []string{base + ",xdp_prog=/p.o"}},
	} {
		if got := xdpDevices(c.device, c.queues); !slices.Equal(got, c.want) {
			t.Errorf("%s, %d queues: %q", c.device, c.queues, got)
		}
	}
}

func TestMoreReceiveQueuesThanArePolledAreRefusedWithTheCommandThatHelps(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, MaxXDPQueues+1)
	for _, end := range []string{"lc-p", "lc-h"} {
		command(t, fmt.Sprintf("ethtool -L %s rx %d tx %d", end, MaxXDPQueues+1, MaxXDPQueues+1))
	}
	_, err := Open(vdev("net_af_xdp", ",iface=lc-p"), port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(testPool)}})
	if err == nil || !strings.Contains(err.Error(), "ethtool -L lc-p rx 1") {
		t.Errorf("got %v", err)
	}
}

func TestUnfinishedChecksumsOfTheKernelAreNoticedAtTheFirstPackets(t *testing.T) {
	for _, driver := range []string{"net_af_packet", "net_af_xdp"} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			p, c := open(t, vdev(driver, ",iface=lc-p"))
			command(t, "ip addr add 10.7.0.1/24 dev lc-h")
			command(t, "ip neigh add 10.7.0.2 lladdr 02:00:00:00:00:02 dev lc-h")
			for _, offload := range []string{"off", "on"} {
				command(t, "ethtool -K lc-h tx "+offload)
				for _, typ := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
					fd, err := unix.Socket(unix.AF_INET, typ|unix.SOCK_NONBLOCK, 0)
					if err != nil {
						t.Fatal(err)
					}
					defer unix.Close(fd)
					_ = unix.Connect(fd, &unix.SockaddrInet4{Port: 7, Addr: [4]byte{10, 7, 0, 2}})
					_, _ = unix.Write(fd, []byte("data"))
				}
				var ms [port.Burst]*mbuf.Mbuf
				want := uint64(0)
				if offload == "on" {
					want = 2
				}
				for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
					c.FreeBurst(ms[:p.Queue(0).RxBurst(ms[:])])
				}
				if n := p.Queue(0).Stats().RxCsumUnfinished; n < want || want == 0 && n > 0 {
					t.Errorf("tx %s: %d packets noticed", offload, n)
				}
			}
		})
	}
}
