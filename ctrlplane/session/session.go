package session

import (
	"encoding/hex"
	"net/netip"
	"time"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/sessiontable"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// ID is a session ID, the byte of the negotiated TEP first. It is no secret, and the same at both ends unless somebody is in the middle.
type ID [sessiontable.SessionIDSize]byte

// String returns the ID in hexadecimal, as `linecrypt sessions` prints it.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Role is one of the two roles of a connection (RFC 8547 section 4.3): A, normally of who opened it, or B. The ends always differ in it,
// so that what one end says cannot be said back to it.
type Role = flowtable.Role

// The roles.
const (
	RoleA = flowtable.RoleA
	RoleB = flowtable.RoleB
)

// Auth says what the gateways know of who the far end is, beyond its session ID.
type Auth = sessiontable.Auth

// What the gateways know: see package sessiontable.
const (
	AuthNone      = sessiontable.AuthNone
	AuthWaiting   = sessiontable.AuthWaiting
	Authenticated = sessiontable.Authenticated
	AuthMismatch  = sessiontable.AuthMismatch
)

// Session is what is known of an encrypted connection.
type Session struct {
	Local     netip.AddrPort // of the host whose gateway answers
	Remote    netip.AddrPort
	VLAN      uint32 // VLAN IDs, folded as the gateway does, 0 when untagged
	Instance  string // of the gateway that answered; empty where it answered over HTTPS
	ID        ID
	Opener    bool          // the local end opened the connection
	Role      Role          // of the local end
	TEP       tcpcrypt.TEP  // key agreement, without the v bit
	AEAD      tcpcrypt.AEAD // cipher
	Resumed   bool          // the keys come from an earlier session (RFC 8548 section 3.5)
	OwnAware  bool          // application-aware bits of the local and of the far end (RFC 8547 section 4.2)
	PeerAware bool
	Auth      Auth
	Rule      uint32 // number of the policy rule that decided
	Since     time.Time
	ENOA      []byte // the SYN-form ENO options of hosts A and B, in a row the negotiation transcript (RFC 8547 section 4.8)
	ENOB      []byte
}

// Transcript returns the negotiation transcript of RFC 8547 section 4.8.
func (s *Session) Transcript() []byte { return eno.AppendTranscript(nil, eno.A, s.ENOA, s.ENOB) }

// sessionOf copies an entry of a session table.
func sessionOf(e *sessiontable.Entry, instance string) Session {
	return Session{
		Local:     netip.AddrPortFrom(netip.AddrFrom16(e.Tuple.Inside).Unmap(), e.Tuple.InsidePort),
		Remote:    netip.AddrPortFrom(netip.AddrFrom16(e.Tuple.Outside).Unmap(), e.Tuple.OutsidePort),
		VLAN:      e.Tuple.VLAN,
		Instance:  instance,
		ID:        e.SessionID,
		Opener:    e.Active,
		Role:      e.Role,
		TEP:       tcpcrypt.TEP(e.TEP & 0x7f),
		AEAD:      tcpcrypt.AEAD(e.AEAD),
		Resumed:   e.Resumed,
		OwnAware:  e.OwnAware,
		PeerAware: e.PeerAware,
		Auth:      e.Auth,
		Rule:      e.Rule,
		Since:     time.Unix(0, e.Start),
		ENOA:      append([]byte(nil), e.ENOA.Bytes()...),
		ENOB:      append([]byte(nil), e.ENOB.Bytes()...),
	}
}
