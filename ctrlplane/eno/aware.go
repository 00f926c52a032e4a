package eno

// AppendAware appends a SYN-form option with the application-aware bit set, where it takes at most room bytes, and otherwise, or where the
// option is ill-formed, as it is. Nothing else changes: neither the role nor the order of suboptions.
func AppendAware(dst, option []byte, room int) []byte {
	var o dissected
	switch _, bad := o.parse(option); {
	case bad != ReasonNone:
	case o.explicit:
		at := len(dst) + o.globalAt
		dst = append(dst, option...)
		dst[at] |= aBit
		return dst
	case len(option) < min(room, MaxOption):
		dst = append(dst, option[0], option[1]+1, aBit)
		return append(dst, option[headerLen:]...)
	}
	return append(dst, option...)
}
