package packet

import (
	"encoding/binary"
	"linecrypt/ctrlplane/eno"
)

// TCP option kinds (IANA TCP Parameters).
const (
	KindEOL           = 0
	KindNOP           = 1
	KindMSS           = 2
	KindWScale        = 3
	KindSACKPermitted = 4
	KindSACK          = 5
	KindTimestamps    = 8
	KindMD5           = 19
	KindAO            = 29
	KindMPTCP         = 30
	KindTFO           = 34
	KindENO           = eno.Kind
	KindExp1          = 253
	KindExp2          = 254
)

// Experiment identifiers of shared experimental options (RFC 6994).
const (
	exIDTFO = 0xF989
	exIDENO = 0x454E
)

// MaxOptions is the option space of a TCP header in bytes.
const MaxOptions = eno.MaxOption

// OptSet is a set of option kinds.
type OptSet uint16

const (
	OptMSS OptSet = 1 << iota
	OptWScale
	OptSACKPermitted
	OptSACK
	OptTimestamps
	OptENO
	OptTFO // the option of RFC 7413 or its experimental form, with or without a cookie
	OptMPTCP
	OptAO
	OptMD5
	OptExpENO // the experimental form of ENO, which is not spoken here
	OptOther  // any kind not named above
)

// OptBinding are the options that bind the byte stream or its headers, so that a rewritten segment would be refused, and that of who
// negotiates ENO in its experimental form: both forms must not be in one segment (RFC 8547 section 11).
const OptBinding = OptMPTCP | OptAO | OptMD5 | OptExpENO

// usual says which options a segment has, if they are what nearly all have.
type usual uint8

const (
	usualNot  usual = iota
	usualNone       // none
	usualTS         // timestamps in their usual place, and nothing else
)

// Options are the TCP options of a segment. A value is meaningful only where Present has its bit. Offsets are those of
// the kind byte, from the start of the packet data.
type Options struct {
	Present OptSet
	// Malformed: a length is 0 or 1, runs past the header or is not what its kind demands, or an option other than ENO
	// came twice. What was read up to there must not be relied on.
	Malformed bool
	WScale    uint8
	MSS       uint16
	NSACK     uint8
	ENOCount  uint8
	ENOLen    uint8 // whole first ENO option, kind and length bytes included
	TFOLen    uint8 // cookie bytes; 0 is a request for one

	usual usual

	MSSOff, TSOff, SACKOff, ENOOff, TFOOff uint16

	TSVal, TSEcr uint32
	SACK         [4][2]uint32 // left and right edge; NSACK of them
}

// Has reports whether all of set are present.
func (o *Options) Has(set OptSet) bool { return o.Present&set == set }

// HasAny reports whether any of set is present.
func (o *Options) HasAny(set OptSet) bool { return o.Present&set != 0 }

// ENO returns the first ENO option whole, kind and length bytes included, aliasing the mbuf; nil when there is none.
func (p *Packet) ENO() []byte {
	if p.Opt.Present&OptENO == 0 {
		return nil
	}
	return p.M.Data()[p.Opt.ENOOff:][:p.Opt.ENOLen]
}

// timestampsOnly reads the options of nearly every segment of an established connection: timestamps as commonTS begins them, and nothing
// else.
func (o *Options) timestampsOnly(b *[tsLen]byte, base int) {
	o.Present, o.Malformed, o.NSACK, o.ENOCount, o.usual = OptTimestamps, false, 0, 0, usualTS
	o.TSOff = uint16(base + 2)
	o.TSVal, o.TSEcr = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
}

// parse reads b, the options of a header, which lie at offset base of the packet.
func (o *Options) parse(b []byte, base int) {
	o.Present, o.Malformed, o.NSACK, o.ENOCount, o.usual = 0, false, 0, 0, usualNot
	if len(b) == 0 {
		o.usual = usualNone
		return
	}
	if len(b) == tsLen && binary.BigEndian.Uint32(b) == commonTS {
		o.timestampsOnly((*[tsLen]byte)(b), base)
		return
	}
	for i := 0; i < len(b); {
		k := b[i]
		if k == KindEOL {
			return
		}
		if k == KindNOP {
			i++
			continue
		}
		n := optionLen(b[i:])
		if n == 0 || !o.take(b[i:i+n], base+i) {
			o.Malformed = true
			return
		}
		i += n
	}
}

// optionLen returns the length of the option at the start of b, or 0 when it is malformed.
func optionLen(b []byte) int {
	if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
		return 0
	}
	return int(b[1])
}

// take records one option and reports whether it is well formed and new.
func (o *Options) take(b []byte, off int) bool {
	bit := optBit(b)
	again := o.Present&bit != 0
	o.Present |= bit
	ok := true
	switch bit {
	case OptMSS:
		if ok = len(b) == 4; ok {
			o.MSS, o.MSSOff = binary.BigEndian.Uint16(b[2:]), uint16(off)
		}
	case OptWScale:
		if ok = len(b) == 3; ok {
			o.WScale = b[2]
		}
	case OptSACKPermitted:
		ok = len(b) == 2
	case OptSACK:
		ok = o.takeSACK(b, off)
	case OptTimestamps:
		if ok = len(b) == 10; ok {
			o.TSVal, o.TSEcr = binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:])
			o.TSOff = uint16(off)
		}
	case OptENO:
		if o.ENOCount++; o.ENOCount == 1 {
			o.ENOOff, o.ENOLen = uint16(off), uint8(len(b))
		}
		return true
	case OptTFO:
		o.TFOOff, o.TFOLen = uint16(off), uint8(len(b)-2)
		if b[0] != KindTFO {
			o.TFOLen -= 2
		}
	default:
		return true
	}
	return ok && !again
}

func (o *Options) takeSACK(b []byte, off int) bool {
	n := (len(b) - 2) / 8
	if n < 1 || n > 4 || len(b) != 2+8*n {
		return false
	}
	o.NSACK, o.SACKOff = uint8(n), uint16(off)
	for i := 0; i < n; i++ {
		e := b[2+8*i : 10+8*i]
		o.SACK[i] = [2]uint32{binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[4:])}
	}
	return true
}

// optBit says which member of OptSet a whole option is.
func optBit(b []byte) OptSet {
	switch b[0] {
	case KindMSS:
		return OptMSS
	case KindWScale:
		return OptWScale
	case KindSACKPermitted:
		return OptSACKPermitted
	case KindSACK:
		return OptSACK
	case KindTimestamps:
		return OptTimestamps
	case KindMD5:
		return OptMD5
	case KindAO:
		return OptAO
	case KindMPTCP:
		return OptMPTCP
	case KindTFO:
		return OptTFO
	case KindENO:
		return OptENO
	case KindExp1, KindExp2:
		return expBit(b)
	}
	return OptOther
}

func expBit(b []byte) OptSet {
	if len(b) >= 4 {
		switch binary.BigEndian.Uint16(b[2:]) {
		case exIDTFO:
			return OptTFO
		case exIDENO:
			return OptExpENO
		}
	}
	return OptOther
}
