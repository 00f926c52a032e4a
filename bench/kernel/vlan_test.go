package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/policy"
)

// trunk puts the hosts of one side into VLANs: each VLAN has a device of its own there, and what it sends goes out of the host's device
// with tags, as by the kernel's own VLAN devices, which not every kernel has.
type trunk struct {
	ns    topology.NetNS
	host  int                // packet socket
	vlans map[string]vlanDev // by tags, as tags writes them
}

// vlanDev is the far end of a VLAN's device.
type vlanDev struct {
	fd   int
	tags []byte // the bytes between addresses and type
}

// tags returns what stands between the addresses and the type of a frame in a VLAN: 100, or 200.7, of which the first is a service tag.
func tags(vlan string) (b []byte) {
	ids := strings.Split(vlan, ".")
	for depth, text := range ids {
		var id, tpid uint16 = 0, unix.ETH_P_8021Q
		_, _ = fmt.Sscan(text, &id)
		if depth == 0 && len(ids) > 1 {
			tpid = unix.ETH_P_8021AD
		}
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, tpid), id)
	}
	return b
}

// trunks makes devices with addresses for VLANs at both hosts, 10.98.N.1 and .2 for the Nth, and carries their frames until the test ends.
// It returns the server's addresses.
func (b *bed) trunks(vlans ...string) (servers []string) {
	b.t.Helper()
	for side, ns := range []topology.NetNS{b.top.Client, b.top.Server} {
		tr := &trunk{ns: ns, vlans: map[string]vlanDev{}}
		b.check(tr.open(topology.Host, &tr.host))
		b.check(unix.SetsockoptInt(tr.host, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1))
		for i, vlan := range vlans {
			dev, far := fmt.Sprintf("v%d", i), fmt.Sprintf("far%d", i)
			for _, args := range []string{
				"ip link add " + dev + " type veth peer name " + far,
				"ethtool -K " + dev + " tx off tso off gso off gro off",
				// A veth takes a frame that is longer than its MTU by no more than one tag.
				fmt.Sprintf("ip link set dev %s mtu %d up", dev, 1500-8*strings.Count(vlan, ".")), "ip link set dev " + far + " up",
				fmt.Sprintf("ip addr add 10.98.%d.%d/24 dev %s", i+1, side+1, dev),
			} {
				words := strings.Fields(args)
				if _, err := ns.Run(words[0], words[1:]...); err != nil {
					b.t.Fatal(err)
				}
			}
			v := vlanDev{tags: tags(vlan)}
			b.check(tr.open(far, &v.fd))
			tr.vlans[string(v.tags)] = v
			go tr.out(v)
			if side == 1 {
				servers = append(servers, fmt.Sprintf("10.98.%d.2", i+1))
			}
		}
		go tr.in()
		b.t.Cleanup(tr.close)
	}
	return servers
}

// open opens a packet socket that takes what a device receives.
func (tr *trunk) open(dev string, fd *int) error {
	return tr.ns.Do(func() (err error) {
		all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
		if *fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		i, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		// A read that waits does not see that the socket is closed.
		return errors.Join(unix.SetsockoptInt(*fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptTimeval(*fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}),
			unix.Bind(*fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: i.Index}))
	})
}

func (tr *trunk) close() {
	_ = unix.Close(tr.host)
	for _, v := range tr.vlans {
		_ = unix.Close(v.fd)
	}
}

const addresses = 12 // bytes at the start of a frame

// out sends what a VLAN's device sends, with tags.
func (tr *trunk) out(v vlanDev) {
	buf := make([]byte, 2048)
	for {
		n, err := unix.Read(v.fd, buf)
		if err == nil && n > addresses {
			frame := append(append(append([]byte(nil), buf[:addresses]...), v.tags...), buf[addresses:n]...)
			_, err = unix.Write(tr.host, frame)
		}
		if errors.Is(err, unix.EBADF) {
			return
		}
	}
}

// in hands the frames of each VLAN to its device. The kernel has taken the first tag off and tells it beside the packet.
func (tr *trunk) in() {
	buf, oob := make([]byte, 2048), make([]byte, 256)
	for {
		n, noob, _, _, err := unix.Recvmsg(tr.host, buf, oob, 0)
		if errors.Is(err, unix.EBADF) {
			return
		}
		outer, tagged := outerTag(oob[:max(noob, 0)])
		if err != nil || !tagged || n <= addresses+4 {
			continue
		}
		for depth := range 2 {
			rest := buf[addresses+4*depth : n]
			if v, ok := tr.vlans[string(append(outer, buf[addresses:addresses+4*depth]...))]; ok {
				_, _ = unix.Write(v.fd, append(append([]byte(nil), buf[:addresses]...), rest...))
				break
			}
		}
	}
}

// outerTag returns the tag that the kernel tells beside a packet, as it stood in it.
func outerTag(oob []byte) (tag []byte, tagged bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 || len(messages[0].Data) < int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
		return nil, false
	}
	aux := (*unix.TpacketAuxdata)(unsafe.Pointer(&messages[0].Data[0]))
	tag = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, aux.Vlan_tpid), aux.Vlan_tci&0xfff)
	return tag, aux.Status&unix.TP_STATUS_VLAN_VALID != 0
}

// TestTaggedConnectionsGoByTheRuleOfTheirVLAN sends tagged frames through ports that get tags beside packets and in them. Tags survive, for the far end takes no
// others, and what is inside is decided on by them: in clear, encrypted, and with one tag and with two.
func TestTaggedConnectionsGoByTheRuleOfTheirVLAN(t *testing.T) {
	for _, kind := range []topology.PortKind{topology.Packet, topology.AFXDP} {
		t.Run(string(kind), func(t *testing.T) {
			b := newBed(t)
			if kind == topology.AFXDP { // else the bridge between the gateways sends tags beside packets, where AF_XDP sees none
				for _, dev := range []string{topology.WireA, topology.WireB} {
					_, err := b.top.Wire.Run("ethtool", "-K", dev, "txvlan", "off", "tx-vlan-stag-hw-insert", "off")
					b.check(err)
				}
			}
			servers := b.trunks("100", "101", "200.7", "200.8")
			b.startFileA(kind, `
policy: opportunistic
rules:
  - {name: red, vlan: [100], policy: require, aeads: [CHACHA20_POLY1305]}
  - {name: passed, vlan: [101], policy: off}
  - {name: inner, vlan: ["200.7"], policy: require, aeads: [AES_256_GCM]}
  - {name: outer, vlan: ["200.*"], policy: off}
  - {name: untagged, vlan: [none], aeads: [AES_256_GCM]}
`)
			b.startB(kind)
			for i, want := range []outcome{
				{"red", policy.Encrypted, "", "CHACHA20_POLY1305"}, {rule: "passed", verdict: policy.Off},
				{"inner", policy.Encrypted, "", "AES_256_GCM"}, {rule: "outer", verdict: policy.Off},
				{"untagged", policy.Encrypted, "", "AES_256_GCM"},
			} {
				b.wantOutcome(b.top.Client, b.top.Server, append(servers, topology.Server4)[i]+":7200", want)
			}
		})
	}
}
