package netif

import (
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
)

// passProgram loads an XDP program that passes everything to the kernel.
func passProgram(t *testing.T, name string) int {
	t.Helper()
	code := [2]uint64{0xb7 | 2<<32, 0x95} // r0 = XDP_PASS; exit
	license := [4]byte{'G', 'P', 'L'}
	load := struct {
		kind, count   uint32
		code          unsafe.Pointer
		license       unsafe.Pointer
		level, size   uint32
		log           uint64
		kernel, flags uint32
		name          [16]byte
	}{kind: 6, count: 2, code: unsafe.Pointer(&code), license: unsafe.Pointer(&license)}
	copy(load.name[:15], name)
	fd, _, errno := unix.Syscall(unix.SYS_BPF, 5, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
	if errno != 0 {
		t.Fatalf("load an XDP program: %v", errno)
	}
	t.Cleanup(func() { _ = unix.Close(int(fd)) })
	return int(fd)
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
