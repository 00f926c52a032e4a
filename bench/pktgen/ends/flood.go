package ends

import (
	"encoding/binary"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// enoSYN is what an opener offers.
var enoSYN = []byte{eno.Kind, 3, byte(tcpcrypt.ECDHECurve25519)}

// flood sends a forged SYN to the outside port, where the scenario wants one among the packets that go there.
func (e *Ends) flood(at int64) bool {
	d := &e.sc.Disturb
	if e.calm || d.SynFlood+d.SynENOFlood == 0 {
		return false
	}
	r := e.rand.IntN(permyria)
	if r >= d.SynFlood+d.SynENOFlood {
		return false
	}
	m := e.ports[flowtable.Outside].Cache.Alloc()
	if m == nil {
		return false
	}
	seg := packet.Seg{Seq: e.rand.Uint32(), Flags: packet.FlagSYN, Win: window, Other: synOptions, HasTS: true, TSVal: e.tick}
	if r >= d.SynFlood {
		seg.ENO = enoSYN
	}
	t := e.template(e.rand.Uint32N(uint32(len(e.flows))), down)
	binary.BigEndian.PutUint32(t.Src[12:], floodNet|e.rand.Uint32N(256))
	t.SrcPort = uint16(1024 + e.rand.Uint32N(64000))
	if !e.pkt.Build(m, t, &seg, 0) {
		e.free(flowtable.Outside, m)
		return false
	}
	e.Forged++
	e.put(flowtable.Outside, m, at)
	return true
}
