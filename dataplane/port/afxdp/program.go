package afxdp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// programName is what the kernel calls the program, as `ip link` and `bpftool` show it.
const programName = "linecrypt_xdp"

// program leads what each receive queue of an interface receives to the socket of that queue. It is attached by a link, so that the kernel
// takes it off the interface when the process ends, however it ends.
type program struct {
	sockets *ebpf.Map
	prog    *ebpf.Program
	link    link.Link
}

// Of XDP programs: the answer that drops a frame, and where their argument has the number of the receive queue (struct xdp_md).
const (
	xdpDrop        = 1
	rxQueueIndexAt = 16
)

// instructions are those of the program. A frame of a queue without a socket is dropped: passed on to the kernel, plaintext could go around the
// gateway.
func instructions(sockets *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, rxQueueIndexAt, asm.Word),
		asm.LoadMapPtr(asm.R1, sockets.FD()),
		asm.Mov.Imm(asm.R3, xdpDrop),
		asm.FnRedirectMap.Call(),
		asm.Return(),
	}
}

// attachProgram puts a program on an interface that leads to the sockets, one a receive queue. Pieces says that it is to see frames in
// several pieces too.
func attachProgram(index int, sockets []*socket, pieces bool) (*program, error) {
	p := &program{}
	if err := p.attach(index, sockets, pieces); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *program) attach(index int, sockets []*socket, pieces bool) (err error) {
	if p.sockets, err = ebpf.NewMap(&ebpf.MapSpec{Name: "linecrypt_xsk", Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(len(sockets))}); err != nil {
		return fmt.Errorf("map of sockets: %w", err)
	}
	for i, s := range sockets {
		if err := p.sockets.Put(uint32(i), uint32(s.fd)); err != nil {
			return fmt.Errorf("map of sockets: %w", err)
		}
	}
	spec := &ebpf.ProgramSpec{Name: programName, Type: ebpf.XDP, Instructions: instructions(p.sockets), License: "MIT"}
	if pieces {
		spec.Flags = unix.BPF_F_XDP_HAS_FRAGS
	}
	if p.prog, err = ebpf.NewProgram(spec); err != nil {
		return fmt.Errorf("XDP program: %w", err)
	}
	return p.hook(index)
}

// hook attaches the program in the driver, or in the kernel behind it where the driver cannot have it: it has no XDP, or not with this MTU or
// number of queues. Where somebody else is there, or nothing is permitted, that would not help.
func (p *program) hook(index int) (err error) {
	var errs []error
	for _, mode := range []link.XDPAttachFlags{link.XDPDriverMode, link.XDPGenericMode} {
		if p.link, err = link.AttachXDP(link.XDPOptions{Program: p.prog, Interface: index, Flags: mode}); err == nil {
			return nil
		}
		errs = append(errs, err)
		if slices.ContainsFunc([]error{unix.EBUSY, unix.EEXIST, unix.EPERM, unix.ENODEV}, func(e error) bool { return errors.Is(err, e) }) {
			break
		}
	}
	return fmt.Errorf("attach the XDP program: %w", errors.Join(errs...))
}

// silence leads no more frames to the sockets; those that come are dropped.
func (p *program) silence() {
	for i := range p.sockets.MaxEntries() {
		_ = p.sockets.Delete(i) // whose interface is gone has none any more
	}
}

func (p *program) close() error {
	var errs []error
	if p.link != nil {
		errs = append(errs, p.link.Close())
	}
	if p.prog != nil {
		errs = append(errs, p.prog.Close())
	}
	if p.sockets != nil {
		errs = append(errs, p.sockets.Close())
	}
	return errors.Join(errs...)
}
