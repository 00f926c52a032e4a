package afpacket

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/port"
	"linecrypt/dataplane/port/netif"
)

// Follow implements port.Port. It looks for the interface by the name that the user gave, since what was removed and made anew
// has that alone; an interface that was only renamed goes on as it is.
func (p *Port) Follow() port.State {
	for _, q := range p.queues {
		_ = q.closeReplaced()
	}
	i, err := p.kernel.Find(p.name, p.index)
	if errors.Is(err, netif.ErrNone) {
		return port.State{Link: port.LinkGone, MTU: p.MTU(), Attached: p.attached}
	}
	if err != nil {
		return port.State{Link: port.LinkDown, MTU: p.MTU(), Attached: p.attached, Fault: err}
	}
	if !p.queues[0].current.bound() {
		// The number may be that of the new interface too.
		p.index = 0
	}
	fault := p.takeUp(i)
	s := port.State{Link: port.LinkDown, MTU: p.MTU(), Attached: p.attached, Fault: fault}
	switch {
	case i.Index != p.index:
		s.Link = port.LinkGone
	case i.Up():
		s.Link = port.LinkUp
	}
	return s
}

// takeUp attaches the port to i where it is another interface than before, and has it carry what i carries now.
func (p *Port) takeUp(i netif.Interface) error {
	mtu, fault := p.carries(i)
	needsRoom := p.mustRenew(i, mtu)
	if i.Index == p.index && !needsRoom {
		p.setMTU(mtu)
		if i.Master != 0 && fault == nil {
			fault = p.kernel.Usable(i)
		}
		return fault
	}
	if i.Flags&unix.IFF_UP == 0 {
		return netif.ErrDown(p.name)
	}
	if time.Since(p.failed) < netif.RetryEvery {
		return p.failure
	}
	if err := p.attach(i, mtu); err != nil {
		p.failed, p.failure = time.Now(), fmt.Errorf("cannot be taken up: %w", err)
		return p.failure
	}
	return fault
}

// carries returns the MTU of the port on an interface: what fits both the interface and the buffers. A fault says that the
// interface could carry more.
func (p *Port) carries(i netif.Interface) (mtu int, fault error) {
	room := p.room - LinkOverhead
	if i.MTU <= room {
		return i.MTU, nil
	}
	return room, fmt.Errorf("an MTU of %d bytes does not fit buffers of %d: set it with `ip link set dev %s mtu %d` at most",
		i.MTU, p.room, p.name, room)
}

// mustRenew reports whether the slots of the rings in use are too small for an MTU.
func (p *Port) mustRenew(i netif.Interface, mtu int) bool {
	return i.Index == p.index && slotSize(mtu+LinkOverhead) > p.queues[0].current.frameSize
}

func (p *Port) setMTU(mtu int) {
	if p.MTU() == mtu {
		return
	}
	for _, q := range p.queues {
		q.current.maxFrame.Store(int64(mtu + LinkOverhead))
	}
	p.mtu.Store(int64(mtu))
}

// attach opens sockets on an interface and hands them to the queues. Those in use until then take nothing in any more; they are
// closed once the workers have let go of them.
func (p *Port) attach(i netif.Interface, mtu int) error {
	if p.claim != nil {
		if err := p.claim(p.name, i.Index); err != nil {
			return err
		}
	}
	fresh, err := openAll(i.Index, mtu, len(p.queues))
	if err != nil {
		return err
	}
	for _, q := range p.queues {
		if q.current != nil {
			// What comes in from here on is for the new sockets; of an interface that is gone nothing comes.
			_ = refuseAll(q.current.rxFd)
		}
	}
	for _, s := range fresh {
		if err := acceptAll(s.rxFd); err != nil {
			return errors.Join(err, closeAll(fresh))
		}
	}
	var errs []error
	for n, q := range p.queues {
		errs = append(errs, q.replace(fresh[n]))
	}
	p.index = i.Index
	p.mtu.Store(int64(mtu))
	p.attached++
	return errors.Join(errs...)
}
