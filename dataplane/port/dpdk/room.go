//go:build dpdk && cgo

package dpdk

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port/netif"
)

// What stands before an IP packet in a frame.
const (
	ethHeader = 14
	vlanTag   = 4
	linkRoom  = ethHeader + 2*vlanTag
)

// xdpHeadroom is what the kernel keeps of each buffer of an AF_XDP socket to itself (XDP_PACKET_HEADROOM).
const xdpHeadroom = 256

// net_af_packet copies frames out of a ring of slots. A frame stands in its slot behind the kernel's header, its first tag apart; the
// driver wants buffers that hold all of a slot but slotHeader, and blocks of whole pages that slots fill.
const (
	slotDefault  = 2048
	slotOverhead = 66 + ethHeader + vlanTag
	slotHeader   = 32
	slotAlign    = 1024
)

// XDPDataRoom is the largest number of bytes behind the headroom of a buffer that net_af_xdp takes: it makes one chunk of a
// buffer, which the kernel wants within a page. Chains of them, which newer kernels know, the driver does not. DPDK pads objects of its
// pools to an odd number of cache lines.
func XDPDataRoom() int {
	const line = 64
	return os.Getpagesize() - line - objectOverhead
}

// DataRoom returns how many bytes behind the headroom buffers need, if a port on that device is to carry IP packets of mtu bytes.
func DataRoom(device string, mtu int) int {
	switch driver(device) {
	case "net_af_xdp":
		return mtu + linkRoom + xdpHeadroom
	case "net_af_packet":
		return max(mtu+linkRoom, (mtu+slotOverhead+slotAlign-1)&^(slotAlign-1)-slotHeader)
	}
	return mtu + linkRoom
}

// room is the largest IP packet in bytes that a port on that device carries with buffers of dataRoom bytes.
func room(device string, dataRoom int) int {
	switch driver(device) {
	case "net_af_xdp":
		return dataRoom - xdpHeadroom - linkRoom
	case "net_af_packet":
		return min(dataRoom-linkRoom, slot(device, dataRoom)-slotOverhead)
	}
	return dataRoom - linkRoom
}

// slot is the size of the slots of net_af_packet's rings, as the device's arguments say, or as fits the buffers.
func slot(device string, dataRoom int) int {
	for arg := range strings.SplitSeq(device, ",") {
		if value, ok := strings.CutPrefix(arg, "framesz="); ok {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	if dataRoom <= mbuf.DefaultDataRoom || strings.Contains(device, ",blocksz=") {
		return slotDefault
	}
	return (dataRoom + slotHeader) &^ (slotAlign - 1)
}

// withSlots adds to the arguments of a net_af_packet device what its slots need to be larger than the driver's own.
func withSlots(device string, dataRoom int) string {
	size := slot(device, dataRoom)
	if size <= slotDefault || strings.Contains(device, ",framesz=") {
		return device
	}
	return fmt.Sprintf("%s,framesz=%d,blocksz=%d", device, size, size*os.Getpagesize()/slotAlign)
}

// driver is the name of a virtual device without its number.
func driver(device string) string {
	name, _, _ := strings.Cut(device, ",")
	return strings.TrimRight(name, "0123456789")
}

// room is the largest IP packet in bytes that the port carries.
func (d *device) room() int {
	least := d.pools[0].dataRoom
	for _, p := range d.pools {
		least = min(least, p.dataRoom)
	}
	return room(d.name, least)
}

// carries returns the MTU of the port on an interface: what fits both the interface and the buffers. A fault says that the
// interface could carry more. Without an interface it is 0.
func (d *device) carries(i netif.Interface) (mtu int, fault error) {
	room := d.room()
	if i.MTU <= room {
		return i.MTU, nil
	}
	hint := fmt.Sprintf("`ip link set %s mtu %d`", i.Name, room)
	switch {
	case d.xdp && d.widest():
		return room, fmt.Errorf("interface %s has an MTU of %d, and a port of net_af_xdp carries %d at most, because its driver wants a packet within a page of memory; take xdp:%s for the port (Linux 6.6 or newer) or packet:%s, which carry jumbo frames, or %s",
			i.Name, i.MTU, room, i.Name, i.Name, hint)
	case d.widest():
		return room, fmt.Errorf("interface %s has an MTU of %d, and %d fit buffers of a page, which the port of net_af_xdp beside it wants; %s, or take packet or xdp ports, which carry jumbo frames",
			i.Name, i.MTU, room, hint)
	}
	return room, fmt.Errorf("interface %s has an MTU of %d, of which %d fit a buffer; %s, or start the gateway again, which then makes larger buffers",
		i.Name, i.MTU, room, hint)
}

// widest reports whether the buffers are as large as AF_XDP sockets take them.
func (d *device) widest() bool { return d.pools[0].dataRoom == XDPDataRoom() }

// wanted is the MTU to open a device with that has an interface of the kernel's beside it (by its number), or none; 0 leaves it to the
// driver. What sits on an interface has that one's, and the driver is not asked. A NIC that shares its interface is opened with the
// interface's; all others with what the user set.
func (d *device) wanted(index int) int {
	switch i := d.beside(index); {
	case d.iface != "":
		return 0
	case IsPCI(d.name) && i.MTU != 0:
		return min(i.MTU, d.room())
	}
	return d.setMTU
}

// beside returns the interface of that number, or a zero one.
func (d *device) beside(index int) netif.Interface {
	if index == 0 || d.kernel == nil {
		return netif.Interface{}
	}
	i, err := d.kernel.ByIndex(index)
	if err != nil {
		return netif.Interface{} // in another network namespace
	}
	return i
}

// checkSet refuses an MTU that was set and no buffer holds.
func (d *device) checkSet() error {
	if room := d.room(); d.setMTU > room {
		return fmt.Errorf("dpdk.mtu is %d, and %d fit buffers of a page, which the port of net_af_xdp beside it wants; take packet or xdp ports, which carry jumbo frames", d.setMTU, room)
	}
	return nil
}
