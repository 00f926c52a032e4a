package netif

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
)

// passProgram loads an XDP program that passes everything to the kernel.
func passProgram(t *testing.T, name string) int {
	t.Helper()
	const pass = 2 // XDP_PASS
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, pass), asm.Return()},
	})
	if err != nil {
		t.Fatalf("load an XDP program: %v", err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p.FD()
}

func TestXDPProgramOfAnotherIsNotTakenOver(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	a, _ := testenv.Veth(t, ns, ns)
	for _, mode := range []uint32{unix.XDP_FLAGS_DRV_MODE, unix.XDP_FLAGS_SKB_MODE} {
		if err := h.XDPUsed(byName(t, h, a)); err != nil {
			t.Errorf("without a program: %v", err)
		}
		for name, refused := range map[string]bool{"xsk_def_prog": false, "firewall": true} {
			if err := h.setXDP(byName(t, h, a).Index, passProgram(t, name), mode); err != nil {
				t.Fatal(err)
			}
			err := h.XDPUsed(byName(t, h, a))
			if (err != nil) != refused || err != nil && !(strings.Contains(err.Error(), "ip link set dev "+a+" xdp off") && strings.Contains(err.Error(), name)) {
				t.Errorf("%s: %v", name, err)
			}
			if err := h.DetachXDP(byName(t, h, a).Index); err != nil {
				t.Error(err)
			}
			if i := byName(t, h, a); i.XDP != 0 {
				t.Errorf("%s: program %d is still there", name, i.XDP)
			}
		}
	}
}
