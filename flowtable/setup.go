package flowtable

// Option is a TCP option kept whole: kind, length, contents.
type Option struct {
	n uint8
	b [40]byte
}

// Set keeps an option of at most 40 bytes, and reports false, keeping nothing, for a longer one.
func (o *Option) Set(b []byte) bool {
	*o = Option{}
	if len(b) > len(o.b) {
		return false
	}
	o.n = uint8(copy(o.b[:], b))
	return true
}

// Bytes returns the option, aliasing o; empty when there is none.
func (o *Option) Bytes() []byte { return o.b[:min(int(o.n), len(o.b)):min(int(o.n), len(o.b))] }

// Len is the option's length in bytes.
func (o *Option) Len() int { return min(int(o.n), len(o.b)) }

// Setup is what connection set-up (package handshake of the data plane) keeps of a connection in its record. Times are in ns of the
// monotonic clock, 0 none.
type Setup struct {
	End   int64 // set-up is given up
	Ask   int64 // the open question, or what could not be done, is tried again
	Wait  int64 // ns between the last two tries
	Since int64 // the SYN came

	Resume uint32 // handle of the secret of an earlier session that our ENO option names (package resumption), 0 none
	Flags  uint8  // bits SetupXxx
	Tries  uint8  // SYNs that went with ENO
	ENO    [2]Option
}

// Bits of Setup.Flags.
const (
	SetupTried  = 1 << 0 // SYNs with ENO went unanswered, or were reset: the answer to one without tells why
	SetupReset  = 1 << 1 // they were reset
	SetupWatch  = 1 << 2 // plain: the far end's first data may be an Init message
	SetupInit1  = 1 << 3 // Init1 is in the block and waits for a buffer
	SetupUnsent = 1 << 4 // the question waits for room in the ring
	SetupAsked  = 1 << 5 // the host was sent its SYN-ACK once more
	SetupOld    = 1 << 6 // the host may believe in an older connection between the same ends, which was encrypted
	SetupResume = 1 << 7 // the connection resumes an earlier session, as far as the options of both ends tell: those that we have
)
