package wire

import "time"

// PathSession is where a control plane answers hosts behind its gateway over HTTPS: GET with the parameters inside and outside, each
// address:port, and, where it is known, vlan.
const PathSession = "/v1/session"

// Errors in a Reply.
const (
	ErrorUnknown      = "unknown"
	ErrorNotEncrypted = "not_encrypted"
	ErrorNotConnected = "not_connected"
	ErrorNotAllowed   = "not_allowed"
	ErrorAmbiguous    = "ambiguous"
	ErrorUnavailable  = "unavailable"
	ErrorBadRequest   = "bad_request"
	ErrorTooMany      = "too_many"
)

// MaxReply bounds a Reply in bytes.
const MaxReply = 16 << 10

// Reply is the answer of PathSession, in JSON: an error, or a session.
type Reply struct {
	Error     string    `json:"error,omitempty"`
	SessionID string    `json:"session_id,omitempty"` // hexadecimal
	VLAN      uint32    `json:"vlan,omitempty"`
	Opener    bool      `json:"opener"` // the host inside opened the connection
	Role      uint8     `json:"role"`   // of the host inside: 1 is A, 2 is B
	TEP       uint8     `json:"tep"`
	AEAD      uint16    `json:"aead"`
	Resumed   bool      `json:"resumed"`
	OwnAware  bool      `json:"own_aware"`
	PeerAware bool      `json:"peer_aware"`
	Auth      uint8     `json:"auth"`
	Rule      uint32    `json:"rule"`
	Since     time.Time `json:"since"`
	ENOA      []byte    `json:"eno_a"`
	ENOB      []byte    `json:"eno_b"`
}
