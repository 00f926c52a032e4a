package kernel

import (
	"fmt"
	"math/bits"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/cli"
)

// TestOffloadsMayStayOn sends a few megabytes each way at once between hosts whose kernels hand over super-packets with unfinished
// checksums, as they do unless told otherwise. Every byte must arrive, encrypted, without a packet that was too large for somebody.
func TestOffloadsMayStayOn(t *testing.T) {
	for _, c := range []struct {
		mtu, workers int
	}{{1500, 1}, {1500, 2}, {9000, 1}} {
		t.Run(fmt.Sprintf("MTU %d, %d workers", c.mtu, c.workers), func(t *testing.T) {
			b := bedOf(t, topology.Options{Direct: true, Offloads: true, MTU: c.mtu})
			b.startA(topology.Packet, fmt.Sprintf("workers.count=%d", c.workers))
			b.startB(topology.Packet, fmt.Sprintf("workers.count=%d", c.workers))
			for _, f := range families {
				t.Run(string(f), func(t *testing.T) { b.in(t).superPackets(f) })
			}
		})
	}
}

func (b *bed) superPackets(f family) cli.Session {
	const size = 16 << 20
	conn, srv, err := b.connect(f)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	defer srv.Close()
	begun := time.Now()
	b.check(exchange(conn, srv, size, size, false))
	b.t.Logf("%d MB each way in %v", size>>20, time.Since(begun))
	session := b.wantSameSession(conn)
	for _, g := range []*topology.Gateway{b.a, b.b} {
		st, err := g.Status()
		if err != nil {
			b.t.Fatal(err)
		}
		for _, d := range st.Drops {
			if d.Count != 0 && slices.Contains([]string{"drop_super_packet", "drop_tx_error", "drop_too_long", "drop_checksum", "drop_rx_truncated"}, d.Name) {
				b.t.Errorf("gateway %s: %s %d", g.Side, d.Name, d.Count)
			}
		}
	}
	return session
}

// TestTaggedSuperPacketsPass is the same with hosts whose kernels put everything into a VLAN: the tags of super-packets travel beside them.
// On the wire there is no plaintext, and there are super-packets again.
func TestTaggedSuperPacketsPass(t *testing.T) {
	const vlan, mtu = 100, 1500
	b := bedOf(t, topology.Options{Offloads: true})
	for _, ns := range []topology.NetNS{b.top.Client, b.top.Server} {
		inVLAN(t, ns, topology.Host, vlan)
	}
	b.startFileA(topology.Packet, "rules:\n  - {name: red, vlan: [100], policy: require}\n  - {name: others, policy: off}\n")
	b.startB(topology.Packet)
	for _, f := range families {
		t.Run(string(f), func(t *testing.T) {
			b := b.in(t)
			if s := b.superPackets(f); s.VLAN != vlan || s.Rule != "red" {
				t.Errorf("VLAN %d, rule %q", s.VLAN, s.Rule)
			}
			if w := b.wire(); w.Plaintext != 0 || w.Longest <= 4*mtu {
				t.Errorf("plaintext in %d packets; the longest segment has %d bytes", w.Plaintext, w.Longest)
			}
		})
	}
}

// inVLAN puts all that a device sends into a VLAN until the test ends, tags beside the packets, as the kernel's own VLAN devices do, which
// not every kernel has. The device takes in nothing that is not in it.
func inVLAN(t *testing.T, ns topology.NetNS, dev string, vlan int32) {
	t.Helper()
	const present, tci = 20, 24 // in struct __sk_buff
	const pass, drop = 0, 2     // TCX_PASS, TCX_DROP
	for attach, program := range map[ebpf.AttachType]asm.Instructions{
		ebpf.AttachTCXEgress: {
			asm.Mov.Imm(asm.R2, int32(bits.ReverseBytes16(unix.ETH_P_8021Q))), asm.Mov.Imm(asm.R3, vlan), asm.FnSkbVlanPush.Call(),
			asm.Mov.Imm(asm.R0, pass), asm.Return(),
		},
		ebpf.AttachTCXIngress: {
			asm.LoadMem(asm.R2, asm.R1, present, asm.Word), asm.JEq.Imm(asm.R2, 0, "other"),
			asm.LoadMem(asm.R2, asm.R1, tci, asm.Word), asm.And.Imm(asm.R2, 0xfff), asm.JNE.Imm(asm.R2, vlan, "other"),
			asm.FnSkbVlanPop.Call(), asm.Mov.Imm(asm.R0, pass), asm.Return(),
			asm.Mov.Imm(asm.R0, drop).WithSymbol("other"), asm.Return(),
		},
	} {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Instructions: program, License: "GPL"})
		if err != nil {
			t.Fatal(err)
		}
		var l link.Link
		err = ns.Do(func() error {
			i, err := net.InterfaceByName(dev)
			if err == nil {
				l, err = link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: p, Attach: attach})
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = l.Close(), p.Close() })
	}
}
