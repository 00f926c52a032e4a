package shm

import (
	"encoding/binary"
	"fmt"

	"linecrypt/ctrlplane/resumption"
	"linecrypt/flowtable"
)

// RequestKind says what the data plane asks.
type RequestKind uint8

// The requests. The control plane keeps nothing between them: each carries all it needs.
const (
	ActiveAnswer  RequestKind = 1 + iota // SYN-ACK with ENO came: ENOA is what we sent, ENOB what came
	ActiveKeys                           // Init2 came: ENOA, ENOB, Secret, Init1, Init2
	PassiveKeys                          // Init1 came: ENOA is what came, ENOB what we sent, Init1
	ActiveResume                         // the SYN-ACK agrees to resume: ENOA, ENOB, Resume
	PassiveResume                        // the ACK confirms that the connection resumes: ENOA, ENOB, Resume
	Closed                               // the connection is over, for Reason; no reply
	endRequests
)

var requestNames = [endRequests]string{"", "active_answer", "active_keys", "passive_keys", "active_resume", "passive_resume", "closed"}

// String returns the kind in snake case.
func (k RequestKind) String() string {
	if k > 0 && k < endRequests {
		return requestNames[k]
	}
	return "invalid"
}

// resumes reports whether the request is about a secret of an earlier session.
func (k RequestKind) resumes() bool { return k == ActiveResume || k == PassiveResume }

// The places behind the lengths of the blobs.
const (
	requestFlags  = requestFixed - 20
	requestResume = requestFixed - 16
	requestRule   = requestFixed - 8
	requestAgain  = 1
)

// Request is a message from the data plane to the control plane. Slices that Decode sets point into the bytes decoded.
// ENO options are whole, as on the wire: kind, length, contents.
type Request struct {
	Kind   RequestKind
	Reason Reason // Closed only
	Ref    FlowRef
	Seq    uint32            // echoed in the reply
	Again  bool              // the same was asked before: what an answer leaves behind was left by the first one
	Resume resumption.Handle // the secret that the connection has claimed; ActiveResume and PassiveResume only
	Tuple  flowtable.Key
	Rule   flowtable.RuleRef // that the connection was decided on by
	Fresh  bool              // it is to leave nothing to resume with. No part of the message: the control plane knows it
	ENOA   []byte            // host A's option, 2 to MaxENO bytes; all but Closed
	ENOB   []byte            // host B's option, likewise
	Secret []byte            // what the control plane gave with Init1, up to MaxSecret bytes
	Init1  []byte            // up to MaxInit bytes
	Init2  []byte
}

const (
	keyBytes     = 40
	requestBlobs = 5
	requestFixed = 16 + keyBytes + requestBlobs*4 + 4 + 8 + 8
)

// only returns the bounds of a blob that is there in some kinds alone.
func only(there bool, name string, b *[]byte, minimum, maximum int) blob {
	if !there {
		minimum, maximum = 0, 0
	}
	return blob{name: name, bytes: b, min: minimum, max: maximum}
}

func (m *Request) blobs() [requestBlobs]blob {
	k := m.Kind
	keys := k == ActiveKeys || k == PassiveKeys
	options := keys || k == ActiveAnswer || k.resumes()
	return [requestBlobs]blob{
		only(options, "eno of a", &m.ENOA, 2, MaxENO),
		only(options, "eno of b", &m.ENOB, 2, MaxENO),
		only(k == ActiveKeys, "secret", &m.Secret, 1, MaxSecret),
		only(keys, "init1", &m.Init1, 8, MaxInit),
		only(k == ActiveKeys, "init2", &m.Init2, 8, MaxInit),
	}
}

// Size returns the bytes Encode writes.
func (m *Request) Size() int {
	return requestFixed + len(m.ENOA) + len(m.ENOB) + len(m.Secret) + len(m.Init1) + len(m.Init2)
}

// Encode writes the message to the beginning of b and returns its size. It copies all it writes. The error wraps ErrRoom, or
// ErrMessage for a field that is out of bounds or not of this kind.
func (m *Request) Encode(b []byte) (int, error) {
	if m.Kind == 0 || m.Kind >= endRequests || m.Reason >= NumReasons {
		return 0, fmt.Errorf("encode request of kind %d, reason %d: %w", m.Kind, m.Reason, ErrMessage)
	}
	if m.Kind.resumes() != (m.Resume != 0) {
		return 0, fmt.Errorf("encode %v with secret %#x: %w", m.Kind, uint32(m.Resume), ErrMessage)
	}
	n := m.Size()
	if len(b) < n {
		return 0, fmt.Errorf("encode %v: %d bytes into %d: %w", m.Kind, n, len(b), ErrRoom)
	}
	clear(b[:requestFixed])
	b[0], b[1] = byte(m.Kind), byte(m.Reason)
	putRef(b, m.Ref, m.Seq)
	putKey(b[16:], &m.Tuple)
	if m.Again {
		b[requestFlags] = requestAgain
	}
	binary.LittleEndian.PutUint32(b[requestResume:], uint32(m.Resume))
	binary.LittleEndian.PutUint32(b[requestRule:], uint32(m.Rule))
	blobs := m.blobs()
	if err := putBlobs(b[16+keyBytes:requestFlags], b[requestFixed:n], blobs[:]); err != nil {
		return 0, fmt.Errorf("encode %v: %w", m.Kind, err)
	}
	return n, nil
}

// Decode reads the message that fills b; its slices point into b. The error wraps ErrMessage, and m is of no use then.
func (m *Request) Decode(b []byte) error {
	*m = Request{}
	if len(b) < requestFixed {
		return fmt.Errorf("decode request of %d bytes: %w", len(b), ErrMessage)
	}
	m.Kind, m.Reason = RequestKind(b[0]), Reason(b[1])
	if m.Kind == 0 || m.Kind >= endRequests || m.Reason >= NumReasons {
		return fmt.Errorf("decode request of kind %d, reason %d: %w", m.Kind, m.Reason, ErrMessage)
	}
	m.Ref, m.Seq = getRef(b)
	getKey(b[16:], &m.Tuple)
	flags := binary.LittleEndian.Uint32(b[requestFlags:])
	m.Again = flags&requestAgain != 0
	m.Resume = resumption.Handle(binary.LittleEndian.Uint32(b[requestResume:]))
	if flags > requestAgain || binary.LittleEndian.Uint32(b[requestResume+4:]) != 0 || binary.LittleEndian.Uint32(b[requestRule+4:]) != 0 {
		return fmt.Errorf("decode %v: reserved bytes in use: %w", m.Kind, ErrMessage)
	}
	if m.Kind.resumes() != (m.Resume != 0) {
		return fmt.Errorf("decode %v with secret %#x: %w", m.Kind, uint32(m.Resume), ErrMessage)
	}
	m.Rule = flowtable.RuleRef(binary.LittleEndian.Uint32(b[requestRule:]))
	blobs := m.blobs()
	if err := getBlobs(b[16+keyBytes:], b[requestFixed:], blobs[:]); err != nil {
		return fmt.Errorf("decode %v: %w", m.Kind, err)
	}
	return nil
}
