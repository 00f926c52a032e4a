package tcpcrypt

// vBit is the "v" bit of a suboption's first byte (RFC 8547 section 4.1).
const vBit byte = 0x80

// Proposal is what an ENO suboption with a tcpcrypt TEP proposes (RFC 8548 sections 3.2, 3.5).
type Proposal uint8

// The proposals.
const (
	Malformed Proposal = iota // no proposal: not a tcpcrypt TEP, or data longer than a resumption nonce allows
	Fresh                     // key agreement; data shorter than an identifier half counts as none
	Resume                    // resumption: Half and Nonce are present
)

// Suboption is an ENO suboption read as tcpcrypt reads it. Half and Nonce alias the input and are present with Resume only.
type Suboption struct {
	TEP      TEP
	Proposal Proposal
	Half     []byte // half of a resumption identifier, 9 bytes
	Nonce    []byte // resumption nonce, up to 8 bytes
}

// ReadSuboption reads a suboption: its initial byte, "v" bit included, and its data (length byte left out).
func ReadSuboption(sub []byte) Suboption {
	if len(sub) == 0 {
		return Suboption{}
	}
	s := Suboption{TEP: TEP(sub[0] &^ vBit)}
	data := sub[1:]
	switch {
	case !s.TEP.Valid(), sub[0]&vBit == 0 && len(data) > 0, len(data) > ResumeHalfLen+MaxResumeNonce:
		s.Proposal = Malformed
	case len(data) < ResumeHalfLen:
		s.Proposal = Fresh
	default:
		s.Proposal = Resume
		s.Half, s.Nonce = data[:ResumeHalfLen:ResumeHalfLen], data[ResumeHalfLen:]
	}
	return s
}

// ValidSuboptions reports whether the suboptions of hosts A and B for one TEP (initial byte and data each) make that TEP
// valid for the connection, so far as the data says (RFC 8547 section 4.5 rule 2). Host B decides: if it proposes fresh
// key agreement, so be it, for a resumption suboption of host A implies willingness to that too (RFC 8548 section 3.2).
// If host B proposes resumption, host A must have proposed it, and resumes must know both identifier halves as those of
// one cached secret; nil stands for no cache.
func ValidSuboptions(a, b []byte, resumes func(a, b Suboption) bool) bool {
	sa, sb := ReadSuboption(a), ReadSuboption(b)
	if sa.Proposal == Malformed || sb.Proposal == Malformed || sa.TEP != sb.TEP {
		return false
	}
	if sb.Proposal == Fresh {
		return true
	}
	return sa.Proposal == Resume && resumes != nil && resumes(sa, sb)
}

// AppendResume appends a resumption suboption: TEP byte with v = 1, the half of the identifier that the host's role in
// the original session names (AB the host A, BA the host B), and the nonce of up to 8 bytes, which the caller has checked.
func AppendResume(dst []byte, tep TEP, id [ResumeIDLen]byte, sends Direction, nonce []byte) []byte {
	half := id[:ResumeHalfLen]
	if sends == BA {
		half = id[ResumeHalfLen:]
	}
	return AppendHalf(dst, tep, half, nonce)
}

// AppendHalf is AppendResume for one who knows the half.
func AppendHalf(dst []byte, tep TEP, half, nonce []byte) []byte {
	dst = append(dst, byte(tep)|vBit)
	dst = append(dst, half...)
	return append(dst, nonce...)
}
