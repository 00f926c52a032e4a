package eno

// Kind is the TCP option kind of TCP-ENO (RFC 8547 section 4.1).
const Kind = 69

// MaxOption is the size in bytes of the longest TCP option: what a segment has room for in all (RFC 9293 section 3.1).
const MaxOption = 40

// Sizes in bytes.
const (
	headerLen = 2 // kind and length
)

const (
	kindEnd = 0 // end of option list
	kindNOP = 1 // no operation
)

// FindSYN returns the ENO option, kind and length bytes included, in the TCP options of a SYN segment. The slice aliases
// options. The error is a Reason: NoOption, SeveralOptions, which a receiver takes as none, or MalformedOptions. It does
// not allocate.
func FindSYN(options []byte) ([]byte, error) {
	option, n, ok := scan(options)
	switch {
	case !ok:
		return nil, MalformedOptions
	case n == 0:
		return nil, NoOption
	case n > 1:
		return nil, SeveralOptions
	}
	return option, nil
}

// FindNonSYN reports whether the TCP options of a segment without SYN hold an ENO option: there one or several mean the
// same, and their contents nothing (RFC 8547 section 4.1). It does not allocate.
func FindNonSYN(options []byte) bool {
	_, n, ok := scan(options)
	return ok && n > 0
}

// CheckACK applies rule 1 of section 4.6 to the TCP options of the first received segment with ACK and without SYN. The
// error is the Reason NoOptionInACK.
func CheckACK(options []byte) error {
	if !FindNonSYN(options) {
		return NoOptionInACK
	}
	return nil
}

// scan returns the first ENO option and how many there are; ok is false if an option has an impossible length.
func scan(options []byte) (first []byte, n int, ok bool) {
	for len(options) > 0 {
		if options[0] == kindEnd {
			break
		}
		if options[0] == kindNOP {
			options = options[1:]
			continue
		}
		if len(options) < headerLen {
			return nil, 0, false
		}
		size := int(options[1])
		if size < headerLen || size > len(options) {
			return nil, 0, false
		}
		if options[0] == Kind {
			if n == 0 {
				first = options[:size:size]
			}
			n++
		}
		options = options[size:]
	}
	return first, n, true
}

// AppendNonSYN appends the ENO option of a segment without SYN: no contents, as no TEP of RFC 8548 gives them a meaning
// (RFC 8547 section 4.1).
func AppendNonSYN(dst []byte) []byte { return append(dst, Kind, headerLen) }
