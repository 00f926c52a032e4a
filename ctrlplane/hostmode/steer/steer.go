// Package steer holds the programs that lead TCP through a gateway's ports inside the kernel, and attaches them: _src/steer.c says what they do,
// steer.o is what clang makes of it. All of it lives as long as the descriptors of a Set's links: when the last process that has them
// ends, however it ends, the kernel takes the programs off the interfaces.
package steer

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// The object is made by Debian's clang (the packages clang, llvm and libc6-dev); nothing but this command needs them.
//
//go:generate sh -c "command -v clang >/dev/null || { echo 'steer.o is left as it is: there is no clang' >&2; exit 0; }; clang -O2 -g -target bpfel -I/usr/include/x86_64-linux-gnu -Wall -Wno-parentheses -ffile-prefix-map=$PWD=. -c _src/steer.c -o steer.o && llvm-strip -g steer.o"

//go:embed steer.o
var object []byte

// Side is a port of the gateway.
type Side uint32

// The ports of the gateway.
const (
	Inside Side = iota
	Outside
)

// Connection is a key of the map of older connections, as the kernel has it: near address, far address, near port, far port.
type Connection [36]byte

// NewConnection returns the key of a connection between the near end, which is protected, and the far end.
func NewConnection(near, far netip.AddrPort) Connection {
	n, f := near.Addr().As16(), far.Addr().As16()
	b := append(n[:], f[:]...)
	b = binary.BigEndian.AppendUint16(b, near.Port())
	return Connection(binary.BigEndian.AppendUint16(b, far.Port()))
}

// MaxInterfaces is how many interfaces one gateway protects.
const MaxInterfaces = 64

// Set is the programs of one gateway with what they share. It is not safe for concurrent use.
type Set struct {
	maps     map[string]*ebpf.Map // by their names in steer.c
	mark     uint32
	links    []link.Link
	programs []*ebpf.Program
}

type exit struct{ Interface, Flags uint32 }

// New makes the maps. Mark is put on packets from the gateway while they pass an interface's programs; older is how many connections from before
// there may be, and encrypted how many encrypted ones are known, and as many whose addresses the machine translates: of more, those that
// have said nothing for the longest time are forgotten.
func New(mark uint32, older, encrypted int) (*Set, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, fmt.Errorf("the programs of host mode: %w", err)
	}
	s := &Set{mark: mark, maps: map[string]*ebpf.Map{}}
	spec.Maps["older"].MaxEntries = uint32(older)
	spec.Maps["encrypted"].MaxEntries = uint32(encrypted)
	spec.Maps["forwarded"].MaxEntries = uint32(encrypted)
	for _, name := range []string{"older", "encrypted", "agreed", "forwarded", "exits", "state", "own_addresses"} {
		m, err := ebpf.NewMap(spec.Maps[name])
		if err != nil {
			return nil, errors.Join(fmt.Errorf("map of host mode: %w", err), s.Close())
		}
		s.maps[name] = m
	}
	return s, nil
}

// load returns a program with its constants.
func (s *Set) load(name string, constants map[string]uint32) (*ebpf.Program, error) {
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	for n, m := range s.maps {
		spec.Maps[n].MaxEntries = m.MaxEntries()
	}
	constants["mark"] = s.mark
	for c, v := range constants {
		if err := spec.Variables[c].Set(v); err != nil {
			return nil, fmt.Errorf("constant %s: %w", c, err)
		}
	}
	for p := range spec.Programs {
		if p != name {
			delete(spec.Programs, p)
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: s.maps})
	if err != nil {
		return nil, fmt.Errorf("program %s: %w", name, err)
	}
	defer c.Close()
	p := c.DetachProgram(name)
	s.programs = append(s.programs, p)
	return p, nil
}

// attach puts a program on an interface.
func (s *Set) attach(p *ebpf.Program, index int, at ebpf.AttachType) error {
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: at})
	if err != nil {
		return fmt.Errorf("attach to interface %d: %w", index, err)
	}
	s.links = append(s.links, l)
	return nil
}

// Ports makes the interfaces of that number the gateway's ports: what the gateway sends there leaves by Protect's interfaces, and what arrives
// there goes nowhere but to the gateway.
func (s *Set) Ports(inside, outside int) error {
	for side, index := range []int{inside, outside} {
		sink, err := s.load("sink", map[string]uint32{})
		if err != nil {
			return err
		}
		emit, err := s.load("emit", map[string]uint32{"side": uint32(side)})
		if err != nil {
			return err
		}
		if err := errors.Join(s.attach(sink, index, ebpf.AttachTCXIngress), s.attach(emit, index, ebpf.AttachTCXEgress)); err != nil {
			return err
		}
	}
	return nil
}

// Protected is an interface whose TCP goes through the gateway.
type Protected struct {
	Index     int
	Tag       int // VLAN that stands for it at the gateway's ports, 0 for none
	Address   net.HardwareAddr
	Container bool // the interface's other end is protected, whatever its addresses: the host's end of a container's veth pair
}

// Protect attaches to an interface what leads its TCP to the two ports once it is switched on. Ports was called.
func (s *Set) Protect(p Protected, inside, outside int) error {
	if err := s.SetAddress(p); err != nil {
		return err
	}
	out, in := exit{uint32(p.Index), 0}, exit{uint32(p.Index), unix.BPF_F_INGRESS}
	if p.Container {
		out, in = in, out
	}
	for side, e := range []exit{Inside: in, Outside: out} {
		if err := s.maps["exits"].Put(uint32(side*MaxInterfaces+p.Tag), e); err != nil {
			return fmt.Errorf("exits of interface %d: %w", p.Index, err)
		}
	}
	for _, inward := range []bool{false, true} {
		target := inside
		if inward {
			target = outside
		}
		program, err := s.load("steer", p.constants(target, inward, true))
		if err != nil {
			return err
		}
		if err := s.attach(program, p.Index, p.hook(inward)); err != nil {
			return err
		}
	}
	return nil
}

// SetAddress says which Ethernet address an interface has. What leaves it with another one is of an interface above it, such as a macvlan, and is
// left alone.
func (s *Set) SetAddress(p Protected) error {
	var value [8]byte
	copy(value[:6], p.Address)
	if err := s.maps["own_addresses"].Put(uint32(p.Tag), value); err != nil {
		return fmt.Errorf("address of interface %d: %w", p.Index, err)
	}
	return nil
}

// constants are those of the program for one direction.
func (p *Protected) constants(target int, inward, keepMark bool) map[string]uint32 {
	return map[string]uint32{"target": uint32(target), "inward": number(inward), "own": number(!p.Container), "tag": uint32(p.Tag), "keepmark": number(keepMark)}
}

// hook is where a direction passes the interface.
func (p *Protected) hook(inward bool) ebpf.AttachType {
	if inward != p.Container {
		return ebpf.AttachTCXIngress
	}
	return ebpf.AttachTCXEgress
}

func number(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// Guard returns the two programs, on the way in and on the way out, that stand behind those of Protect and hold without this process where
// they are attached so. Strict ones let no TCP pass an interface but that of the gateway and of older connections, others none of connections
// that were encrypted.
func (s *Set) Guard(p Protected, strict bool) (ingress, egress *ebpf.Program, err error) {
	for _, inward := range []bool{false, true} {
		c := p.constants(0, inward, false)
		c["lenient"] = number(!strict)
		program, err := s.load("steer", c)
		if err != nil {
			return nil, nil, err
		}
		if p.hook(inward) == ebpf.AttachTCXIngress {
			ingress = program
		} else {
			egress = program
		}
	}
	return ingress, egress, nil
}

// Switch has TCP led to the ports, or not.
func (s *Set) Switch(on bool) error {
	if err := s.maps["state"].Put(uint32(0), number(on)); err != nil {
		return fmt.Errorf("switch host mode: %w", err)
	}
	return nil
}

// Older adds connections from before the gateway started.
func (s *Set) Older(all map[Connection]bool) error {
	for c := range all {
		if err := s.maps["older"].Put(&c, uint32(1)); err != nil {
			return fmt.Errorf("connections from before: %w", err)
		}
	}
	return nil
}

// Prune forgets older and encrypted connections that are not among those that there are. These are asked for once it is known which are
// looked for, so that none that begins meanwhile is forgotten.
func (s *Set) Prune(there func() (map[Connection]bool, error)) error {
	known := map[string][]Connection{}
	for _, name := range []string{"older", "encrypted"} {
		var c Connection
		var value uint32
		for it := s.maps[name].Iterate(); it.Next(&c, &value); {
			known[name] = append(known[name], c)
		}
	}
	now, err := there()
	if err != nil {
		return err
	}
	for name, all := range known {
		for _, c := range all {
			if now[c] {
				continue
			}
			if err := s.maps[name].Delete(&c); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
				return fmt.Errorf("%s connections: %w", name, err)
			}
		}
	}
	return nil
}

// Files returns copies of the descriptors by which the programs stay attached, for another process that is to keep them there. The caller
// closes them.
func (s *Set) Files() ([]*os.File, error) {
	var files []*os.File
	for _, l := range s.links {
		fd, err := unix.FcntlInt(uintptr(l.(interface{ FD() int }).FD()), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return files, fmt.Errorf("keep a program attached: %w", err)
		}
		files = append(files, os.NewFile(uintptr(fd), "program"))
	}
	return files, nil
}

// Release takes the programs off the interfaces, unless another process keeps them there.
func (s *Set) Release() error {
	var errs []error
	for _, l := range s.links {
		errs = append(errs, l.Close())
	}
	s.links = nil
	return errors.Join(errs...)
}

// Close is Release, and gives up all else.
func (s *Set) Close() error {
	errs := []error{s.Release()}
	for _, p := range s.programs {
		errs = append(errs, p.Close())
	}
	for _, m := range s.maps {
		errs = append(errs, m.Close())
	}
	s.programs, s.maps = nil, nil
	return errors.Join(errs...)
}

// ErrNoTCX is returned where the kernel cannot attach programs as host mode needs it.
var ErrNoTCX = errors.New("this kernel has no tcx, which came with Linux 6.6: start a newer one, or have a gateway stand before the machine (linecrypt run)")

// Check returns an error where programs cannot be attached to an interface. It changes nothing.
func Check(index int) error {
	for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		if _, err := link.QueryPrograms(link.QueryOptions{Target: index, Attach: at}); err != nil {
			return unattachable(err)
		}
	}
	return nil
}

// unattachable says what it means that the kernel did not answer about programs.
func unattachable(err error) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("ask about programs on it, for which the machine's administrator has to be asked (sysctl kernel.unprivileged_bpf_disabled, seccomp): %w", err)
	}
	return fmt.Errorf("%w (%w)", ErrNoTCX, err)
}
