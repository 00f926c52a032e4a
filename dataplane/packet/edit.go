package packet

import "encoding/binary"

// The edits here change options. Those of another size than what they replace move the headers (payload bytes never move)
// and so need headroom to grow. They refuse, changing nothing, a header whose options are malformed. No option but the
// named one is changed, dropped or reordered; NOPs and the end-of-list padding are rearranged where needed, and NOPs are
// left out where the 40 bytes are not enough with them.

// optList collects the options of a new header.
type optList struct {
	n int
	b [64]byte
}

// ClampMSS lowers the MSS option to at most max and reports whether it was there. Without the option nothing changes: the
// sender's default is 536 (IPv4) or 1220 (IPv6) bytes.
func (p *Packet) ClampMSS(max uint16) bool {
	if p.Opt.Malformed || !p.Opt.Has(OptMSS) {
		return false
	}
	if p.Opt.MSS > max {
		p.Opt.MSS = max
		binary.BigEndian.PutUint16(p.M.Data()[p.Opt.MSSOff+2:], max)
	}
	return true
}

// SetTimestamps overwrites the values of the timestamps option and reports whether it was there.
func (p *Packet) SetTimestamps(val, ecr uint32) bool {
	if p.Opt.Malformed || !p.Opt.Has(OptTimestamps) {
		return false
	}
	p.Opt.TSVal, p.Opt.TSEcr = val, ecr
	b := p.M.Data()[p.Opt.TSOff:]
	binary.BigEndian.PutUint32(b[2:6], val)
	binary.BigEndian.PutUint32(b[6:10], ecr)
	return true
}

// SetSACK replaces the SACK option by one with blocks (left edge, right edge), the first four at most, or removes it where
// there are none. The header grows by grow bytes at most, which keeps a full-sized segment within the path's MTU; blocks
// that do not fit are left out from the end. It returns the number of blocks written, and -1 where it could change nothing
// (malformed options).
func (p *Packet) SetSACK(blocks [][2]uint32, grow int) int {
	if p.Opt.Malformed {
		return -1
	}
	if len(blocks) > 4 {
		blocks = blocks[:4]
	}
	had := 0
	if p.Opt.Has(OptSACK) {
		had = int(p.Opt.NSACK)
	}
	if len(blocks) == had {
		if had > 0 {
			p.Opt.NSACK = uint8(copy(p.Opt.SACK[:], blocks))
			putSACK(p.M.Data()[p.Opt.SACKOff:], blocks)
		}
		return had
	}
	grow = min(grow, p.M.HeadroomLen())
	for {
		if p.edit(OptSACK, nil, blocks, grow) {
			return len(blocks)
		}
		if len(blocks) == 0 {
			return -1
		}
		blocks = blocks[:len(blocks)-1]
	}
}

// putSACK writes a SACK option at the start of b and returns its length.
func putSACK(b []byte, blocks [][2]uint32) int {
	n := 2 + 8*len(blocks)
	b = b[:n]
	b[0], b[1] = KindSACK, uint8(n)
	for i := range blocks {
		binary.BigEndian.PutUint32(b[2+8*i:], blocks[i][0])
		binary.BigEndian.PutUint32(b[6+8*i:], blocks[i][1])
	}
	return n
}

// RemoveTFO removes the Fast Open option, cookie and all (RFC 8547 section 4.7). True where there is none.
func (p *Packet) RemoveTFO() bool { return p.remove(OptTFO) }

// RemoveENO removes every ENO option. True where there is none.
func (p *Packet) RemoveENO() bool { return p.remove(OptENO) }

func (p *Packet) remove(set OptSet) bool {
	if p.Opt.Malformed {
		return false
	}
	return !p.Opt.HasAny(set) || p.edit(set, nil, nil, p.M.HeadroomLen())
}

// InsertENO puts opt, a whole ENO option with kind and length bytes, in the place of any the header has. It reports false
// where the option space, the headroom or an IP packet's size has no room for it.
func (p *Packet) InsertENO(opt []byte) bool {
	if p.Opt.Malformed || len(opt) < 2 || len(opt) > MaxOptions || opt[0] != KindENO || int(opt[1]) != len(opt) {
		return false
	}
	return p.edit(OptENO, opt, nil, p.M.HeadroomLen())
}

// OptionRoom returns the option bytes that an added option may take when the others are packed without NOPs.
func (p *Packet) OptionRoom() int {
	var l optList
	l.collect(p.options(), 0, true)
	return MaxOptions - l.n
}

// edit rebuilds the options without those in drop and with add or blocks behind them.
func (p *Packet) edit(drop OptSet, add []byte, blocks [][2]uint32, grow int) bool {
	for _, pack := range [2]bool{false, true} {
		var l optList
		l.collect(p.options(), drop, pack)
		if len(blocks) > 0 && l.n+2+8*len(blocks) <= MaxOptions {
			l.addSACK(blocks, pack)
		} else if len(blocks) > 0 {
			continue
		}
		if l.n+len(add) <= MaxOptions {
			l.n += copy(l.b[l.n:], add)
			l.pad()
			if l.n <= MaxOptions && p.setOptions(&l, grow) {
				return true
			}
		}
	}
	return false
}

func (p *Packet) options() []byte { return p.M.Data()[p.L4+tcpMinLen : p.Payload] }

// collect copies the options of o, which are well formed, but for those in drop and the NOPs before them.
func (l *optList) collect(o []byte, drop OptSet, pack bool) {
	nops := 0
	for i := 0; i < len(o) && o[i] != KindEOL; {
		if o[i] == KindNOP {
			nops++
			i++
			continue
		}
		n := optionLen(o[i:])
		if n == 0 {
			return
		}
		if optBit(o[i:i+n])&drop == 0 {
			if !pack {
				l.nops(nops)
			}
			l.n += copy(l.b[l.n:], o[i:i+n])
		}
		nops = 0
		i += n
	}
}

func (l *optList) nops(n int) {
	for ; n > 0; n-- {
		l.b[l.n] = KindNOP
		l.n++
	}
}

// addSACK appends a SACK option, unless packed with the NOPs before it that make it end on a word, as Linux does.
func (l *optList) addSACK(blocks [][2]uint32, pack bool) {
	if !pack {
		l.nops((6 - l.n&3) & 3)
	}
	l.n += putSACK(l.b[l.n:], blocks)
}

// pad fills up to a whole word with end-of-list bytes.
func (l *optList) pad() {
	for l.n&3 != 0 {
		l.b[l.n] = KindEOL
		l.n++
	}
}

// setOptions makes l the packet's options, where the header grows by no more than grow bytes.
func (p *Packet) setOptions(l *optList, grow int) bool {
	m := p.M
	delta := int(p.L4) + tcpMinLen + l.n - int(p.Payload)
	off, fixed := m.DataOff(), int(p.L4)+tcpMinLen
	start := off - delta
	if start < 0 || delta > 0 && delta > grow || !p.fits(start, fixed+l.n, int(p.PayloadLen)) {
		return false
	}
	buf := m.Buf()
	if delta != 0 {
		copy(buf[start:start+fixed], buf[off:off+fixed])
	}
	h := buf[start : start+fixed+l.n]
	copy(h[fixed:], l.b[:l.n])
	h[p.L4+12] = h[p.L4+12]&15 | uint8((tcpMinLen+l.n)<<2)
	p.Payload = uint16(fixed + l.n)
	p.setBounds(start, int(p.PayloadLen))
	p.Opt.parse(h[fixed:], fixed)
	return true
}
