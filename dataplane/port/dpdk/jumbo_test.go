//go:build dpdk && cgo

package dpdk

import (
	"fmt"
	"strings"
	"testing"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/porttest"
)

// poolFor makes a pool of buffers in which a port on the device carries the MTU, as far as it can.
func poolFor(t *testing.T, device string, mtu int) mbuf.Pool {
	t.Helper()
	room := DataRoom(device, mtu)
	if driver(device) == "net_af_xdp" {
		room = min(room, XDPDataRoom())
	}
	p, err := NewPool(fmt.Sprint("jumbo", deviceNumber.Add(1)), 3000, room)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A page less what lies in it beside a packet: 4096 - 64 - 320 - 256 - 22.
const xdpMTU = 3434

func TestKernelDriversCarryJumboFrames(t *testing.T) {
	for driver, mtu := range map[string]int{"net_af_packet": 9000, "net_af_xdp": xdpMTU} {
		t.Run(driver, func(t *testing.T) {
			porttest.InNamespace(t)
			veth(t, 1)
			for _, end := range []string{"lc-p", "lc-h"} {
				command(t, fmt.Sprintf("ip link set %s mtu %d", end, mtu))
			}
			device := vdev(driver, ",iface=lc-p")
			p, c := openOver(t, device, poolFor(t, device, mtu), 0)
			if s := p.Follow(); p.MTU() != mtu || s.Fault != nil {
				t.Errorf("MTU %d, %+v", p.MTU(), s)
			}
			carries(t, p, c, porttest.NewHost(t, "lc-h"), framesOf(60, 1514, 2048, 3000, mtu, mtu+13, mtu+ethHeader))
			if s := p.Queue(0).Stats(); s != (port.Stats{}) {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

// TestPortSaysWhatItCannotCarry is about the start: what is too large must not be found out by drops.
func TestPortSaysWhatItCannotCarry(t *testing.T) {
	porttest.InNamespace(t)
	veth(t, 1)
	command(t, "ip link set lc-p mtu 9000")
	xdp, packet, tap := vdev("net_af_xdp", ",iface=lc-p"), vdev("net_af_packet", ",iface=lc-p"), vdev("net_tap", ",iface=lc-tap")
	small := poolFor(t, xdp, 9000)
	for _, c := range []struct {
		device string
		pool   mbuf.Pool
		mtu    int
		says   []string
	}{
		{xdp, small, 0, []string{"MTU of 9000", fmt.Sprint("ip link set lc-p mtu ", xdpMTU), "xdp:lc-p", "packet:lc-p"}},
		{packet, small, 0, []string{"MTU of 9000", "ip link set lc-p mtu 2988", "packet or xdp ports"}},
		{packet, testPool, 0, []string{"MTU of 9000", "ip link set lc-p mtu 1964"}},
		{tap, small, 9000, []string{"dpdk.mtu is 9000", "packet or xdp ports"}},
		{tap, poolFor(t, tap, 9000), 9000, []string{"MTU of 9000", "net_tap carries", "packet port"}},
	} {
		_, err := Open(c.device, port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(c.pool)}, MTU: c.mtu})
		for _, s := range c.says {
			if err == nil || !strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v, want %q", c.device, err, s)
			}
		}
	}
}

func TestDeviceWithoutInterfaceTakesTheMTUThatIsSet(t *testing.T) {
	device := vdev("net_ring", "")
	p, c := openOver(t, device, poolFor(t, device, 9000), 9000)
	if s := p.Follow(); p.MTU() != 9000 || s.MTU != 9000 {
		t.Errorf("MTU %d, %+v", p.MTU(), s)
	}
	big := porttest.Frame(9000+ethHeader, 1)
	q, ms := p.Queue(0), make([]*mbuf.Mbuf, 1)
	if q.TxBurst([]*mbuf.Mbuf{porttest.Alloc(t, c, big)}) != 1 || q.RxBurst(ms) != 1 || string(ms[0].Data()) != string(big) {
		t.Fatal("a frame of 9014 bytes did not pass")
	}
	c.Free(ms[0])
}

func TestMTUOfAnInterfaceBesideTheDeviceIsFollowed(t *testing.T) {
	porttest.InNamespace(t)
	p, _ := open(t, vdev("net_tap", ",iface=lc-tap"))
	command(t, "ip link set lc-tap mtu 1400")
	if s := p.Follow(); s.MTU != 1400 || s.Fault != nil {
		t.Errorf("%+v", s)
	}
	command(t, "ip link set lc-tap mtu 9000")
	if s := p.Follow(); s.MTU >= 9000 || s.Fault == nil || !strings.Contains(s.Fault.Error(), "ip link set lc-tap mtu") {
		t.Errorf("%+v", s)
	}
}

func TestSlotsOfPacketRingsFitWhatTheUserSays(t *testing.T) {
	for device, want := range map[string]string{
		"net_af_packet0,iface=a":               "net_af_packet0,iface=a,framesz=9216,blocksz=36864",
		"net_af_packet0,iface=a,framecnt=64":   "net_af_packet0,iface=a,framecnt=64,framesz=9216,blocksz=36864",
		"net_af_packet0,iface=a,framesz=4096":  "net_af_packet0,iface=a,framesz=4096",
		"net_af_packet0,iface=a,blocksz=16384": "net_af_packet0,iface=a,blocksz=16384",
	} {
		if got := withSlots(device, mbuf.JumboDataRoom); got != want {
			t.Errorf("%s: %s", device, got)
		}
	}
	if got := withSlots("net_af_packet0,iface=a", mbuf.DefaultDataRoom); got != "net_af_packet0,iface=a" {
		t.Errorf("%s", got)
	}
}
