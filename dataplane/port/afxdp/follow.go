package afxdp

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// Follow implements port.Port. It looks for the interface by the name that the user gave, and by its number where it was only renamed.
func (p *Port) Follow() port.State {
	i, err := p.kernel.Find(p.name, p.index)
	if err != nil && !errors.Is(err, netif.ErrNone) {
		return port.State{Link: port.LinkDown, MTU: p.MTU(), Attached: p.attached, Fault: err}
	}
	fault := p.takeUp(i)
	s := port.State{Link: port.LinkDown, MTU: p.MTU(), Attached: p.attached, Fault: fault}
	switch {
	case p.at == nil || i.Index != p.index:
		s.Link = port.LinkGone
	case i.Up():
		s.Link = port.LinkUp
	}
	return s
}

// takeUp has the port go with what became of its interface; i is zero when there is none.
func (p *Port) takeUp(i netif.Interface) error {
	lost := i.Index != p.index || i.XDP == 0 || p.kernel.RxQueues(i.Name) != p.rxQueues
	switch {
	case p.at != nil && !lost:
		return p.adapt(i)
	case p.at != nil && p.queue.current == p.at:
		p.at.program.silence() // a worker lets go of sockets that have nothing more
		return p.queue.hand(&attachment{promisc: -1})
	case !p.queue.taken():
		return nil
	case p.at != nil:
		return p.detach()
	case i.Index == 0:
		return nil
	case i.Flags&unix.IFF_UP == 0:
		return netif.ErrDown(p.name)
	case time.Since(p.failed) < netif.RetryEvery:
		return p.failure
	}
	if err := p.attach(i); err != nil {
		p.failed, p.failure = time.Now(), fmt.Errorf("cannot be taken up: %w", err)
		return p.failure
	}
	return nil
}

// adapt follows an interface that is still the same.
func (p *Port) adapt(i netif.Interface) error {
	mtu, fault := p.carries(i)
	if mtu != p.MTU() {
		p.at.maxFrame.Store(int64(mtu + LinkOverhead))
		p.mtu.Store(int64(mtu))
	}
	if i.Master != 0 && fault == nil {
		fault = p.kernel.Usable(i)
	}
	return fault
}

// carries returns the MTU of the port on an interface: what fits the interface, the buffers, and what the kernel can do. A fault says that
// the interface could carry more.
func (p *Port) carries(i netif.Interface) (mtu int, fault error) {
	if one := singleMTU(); !p.pieces && i.MTU > one && p.room-LinkOverhead >= one {
		return one, fmt.Errorf("an MTU of %d, and AF_XDP of this kernel carries %d at most, because frames of more than a page came with Linux 6.6: set it with `ip link set dev %s mtu %d`, or take packet:%s for the port, which carries jumbo frames",
			i.MTU, one, p.name, one, p.name)
	}
	room := p.room - LinkOverhead
	if i.MTU <= room {
		return i.MTU, nil
	}
	return room, fmt.Errorf("an MTU of %d bytes does not fit buffers of %d: set it with `ip link set dev %s mtu %d` at most, or start the gateway again, which then makes larger buffers",
		i.MTU, p.room, p.name, room)
}

// attach takes an interface and gives the worker its sockets. Nothing is changed where it is not permitted, or another's.
func (p *Port) attach(i netif.Interface) error {
	if p.claim != nil {
		if err := p.claim(p.name, i.Index); err != nil {
			return err
		}
	}
	n := p.kernel.RxQueues(i.Name)
	if n > MaxQueues {
		return fmt.Errorf("it has %d receive queues, of which an xdp port serves %d at most: %s", n, MaxQueues, p.kernel.QueuesHint(i.Name, 1))
	}
	pieces := p.pieces && p.room > singleMTU()+LinkOverhead
	if err := netif.XDPRights(memory(n, pieces)); err != nil {
		return err
	}
	if err := p.kernel.XDPUsed(i); err != nil {
		return fmt.Errorf("%w: %w", errBusy, err)
	}
	if i.XDP != 0 {
		// What AF_XDP sockets of a process left behind that is gone.
		if err := p.kernel.DetachXDP(i.Index); err != nil {
			return err
		}
	}
	mtu, _ := p.carries(i)
	a, err := openAttachment(i.Index, n, mtu, pieces)
	if err != nil {
		return busy(err)
	}
	p.at, p.index, p.rxQueues = a, i.Index, n
	p.mtu.Store(int64(mtu))
	p.attached++
	return p.queue.hand(a)
}

// memory is how many bytes the sockets of n receive queues share with the kernel.
func memory(n int, pieces bool) (sum uint64) {
	for _, s := range shapes(n, pieces) {
		sum += uint64(s.bytes())
	}
	return sum
}

// errBusy is wrapped by the error about an interface that somebody else has.
var errBusy = errors.New("it is in use")

// busy says what the kernel does not, where a queue or the hook of the program is taken.
func busy(err error) error {
	if errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: another program uses its receive queue or its XDP hook: %w", errBusy, err)
	}
	return err
}

// detach closes what nobody polls any more.
func (p *Port) detach() error {
	p.queue.before.Add(p.at.stats())
	err := p.at.close()
	p.at, p.index = nil, 0
	return err
}
