package trace

// Filter says which packets are traced: those between A and B, either way.
type Filter struct {
	A, B    End
	Packets uint32 // each worker traces so many that it receives
}

// End is one end of what is traced.
type End struct {
	Addr [16]byte // IPv4 addresses in their ::ffff:a.b.c.d form
	Bits uint8    // of Addr that count, 0 for every address
	_    uint8
	Port uint16 // 0: every port, and packets without one
}

// Fits reports whether a packet is between the two ends.
func (f *Filter) Fits(src, dst *[16]byte, srcPort, dstPort uint16) bool {
	return f.A.fits(src, srcPort) && f.B.fits(dst, dstPort) || f.A.fits(dst, dstPort) && f.B.fits(src, srcPort)
}

func (e *End) fits(addr *[16]byte, port uint16) bool {
	if e.Port != 0 && e.Port != port {
		return false
	}
	whole := min(int(e.Bits/8), len(addr))
	if string(addr[:whole]) != string(e.Addr[:whole]) {
		return false
	}
	rest := e.Bits % 8
	return rest == 0 || whole == len(addr) || (addr[whole]^e.Addr[whole])>>(8-rest) == 0
}
