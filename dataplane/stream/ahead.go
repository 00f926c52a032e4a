package stream

import (
	"unsafe"

	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/packet"
)

// PacketsAhead is for how many packets the lines that their translation writes are on their way to the first-level cache, which a burst with
// all that is noted of it does not fit in.
const PacketsAhead = 3

// AheadFirst asks for the lines of the first packets of a burst, which the others follow while it is worked: see Ahead.
func (o *Output) AheadFirst(burst []packet.Packet, fromHost bool) {
	for i := range burst[:min(len(burst), PacketsAhead)] {
		o.ahead(burst[i].M, i, fromHost)
	}
}

// Ahead asks for the lines of the packet that comes PacketsAhead behind the first of those that are left of a burst, and for those of the output
// where it will go. Train does so itself.
func (o *Output) Ahead(burst []packet.Packet, fromHost bool) {
	if len(burst) > PacketsAhead {
		o.ahead(burst[PacketsAhead].M, PacketsAhead, fromHost)
	}
}

func (o *Output) ahead(m *mbuf.Mbuf, n int, fromHost bool) {
	if fromHost {
		o.sealAhead(m, n)
	} else {
		o.openAhead(m, n)
	}
}

// sealAhead asks for the lines of a packet of the host's with data that is taken when n others have been.
func (o *Output) sealAhead(m *mbuf.Mbuf, n int) {
	em, op := min(len(o.Emits)+n, cap(o.Emits)-1), min(len(o.Seals)+n, cap(o.Seals)-1)
	mbuf.PrefetchPacket(m, unsafe.Pointer(&o.Emits[:em+1][em]), unsafe.Pointer(&o.Seals[:op+1][op]))
}

// openAhead is sealAhead for one of the far end's.
func (o *Output) openAhead(m *mbuf.Mbuf, n int) {
	op := min(len(o.Opens)+n, cap(o.Opens)-1)
	mbuf.PrefetchPacket(m, unsafe.Pointer(&o.openRefs[:op+1][op]), unsafe.Pointer(&o.Opens[:op+1][op]))
}
