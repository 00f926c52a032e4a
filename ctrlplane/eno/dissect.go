package eno

// dissected is a SYN-form option taken apart without memory beside its own: for the packet path, which allocates nothing. Option is what
// everyone else gets.
type dissected struct {
	raw      []byte
	global   byte
	explicit bool
	globalAt int // where it lies, if explicit
	n        int
	spans    [255 - headerLen]span // of the suboptions with TEP identifiers, in order
}

// span is where a suboption lies in the option.
type span struct{ from, to uint8 }

// parse reads an option. A reason other than ReasonNone is one that Parse documents, and at the byte that it is about.
func (o *dissected) parse(raw []byte) (at int, bad Reason) {
	if len(raw) < headerLen || raw[0] != Kind || int(raw[1]) != len(raw) {
		return 0, BadLength
	}
	o.raw = raw
	for at = headerLen; at < len(raw); {
		switch c := raw[at]; {
		case c < byte(MinTEP):
			if !o.explicit {
				o.global, o.explicit, o.globalAt = c, true, at
			}
			at++
		case c < vBit:
			o.add(at, at+1)
			at++
		case c < minWithTEP:
			end := at + 2 + int(c&lengthMask) + 1
			if at+1 < len(raw) && raw[at+1] < minWithTEP {
				return at, LengthWithoutTEP
			}
			if end > len(raw) {
				return at, DataBeyondEnd
			}
			o.add(at+1, end)
			at = end
		default:
			o.add(at, len(raw))
			at = len(raw)
		}
	}
	return at, ReasonNone
}

func (o *dissected) add(from, to int) {
	o.spans[o.n] = span{uint8(from), uint8(to)}
	o.n++
}

// sub returns suboption i; it aliases the option.
func (o *dissected) sub(i int) Suboption {
	s := o.spans[i]
	return Suboption(o.raw[s.from:s.to:s.to])
}

func (o *dissected) role() Role {
	if o.global&bBit != 0 {
		return B
	}
	return A
}

// find returns the suboption with the given TEP, the last of several, and how often that occurs.
func (o *dissected) find(t TEP) (sub Suboption, n int) {
	for i := range o.n {
		if s := o.sub(i); s.TEP() == t {
			sub = s
			n++
		}
	}
	return sub, n
}
