package hostmode

import (
	"net/netip"
	"strings"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/shm"
	"linecrypt/flowtable"
)

// AbortOrphans aborts the machine's connections that a data plane which was killed had encrypted, or was about to: what they would go on to say
// is plaintext. A data plane that ended by itself has reset them, and leaves no record. Others reports whether some are not of the machine's own
// sockets, as those of containers that it translates addresses for: nobody here can abort them.
func AbortOrphans(in *instance.Instance) (others bool, err error) {
	all := orphans(in)
	err = abort(all)
	for _, state := range all {
		others = others || !isOver(state)
	}
	return others, err
}

// isOver reports whether nothing is to be heard any more of a connection in that state, or nothing has been agreed on yet.
func isOver(s flowtable.State) bool {
	return s == flowtable.Closing || s == flowtable.ActiveSyn || s == flowtable.PassiveSyn
}

// LeftByHost reports whether what an instance left is a host's: its records are of connections whose sockets this machine has.
func LeftByHost(in *instance.Instance) bool {
	for _, dir := range in.LeftSegments() {
		seg, err := shm.Open(dir, in.Name())
		if err != nil {
			continue
		}
		inside := seg.Inside()
		_ = seg.Close()
		if strings.HasPrefix(inside, insideTap) {
			return true
		}
	}
	return false
}

// orphans reads the segments that were left. The records come from a process that was killed: they may say anything, and name the
// connections of this machine at most.
func orphans(in *instance.Instance) map[ends]flowtable.State {
	all := map[ends]flowtable.State{}
	for _, dir := range in.LeftSegments() {
		shm.RangeLeft(dir, in.Name(), func(r *flowtable.Record) {
			if r.State != flowtable.Free && r.State != flowtable.Plain && r.State != flowtable.PlainSyn {
				k := &r.Key
				all[ends{addrPort(k.Inside, k.InsidePort), addrPort(k.Outside, k.OutsidePort)}] = r.State
			}
		})
	}
	return all
}

func addrPort(addr [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(addr).Unmap(), port)
}
