// Package session tells an application of the tcpcrypt session beneath its TCP connection: the session ID, with which it can
// authenticate the far end (RFC 8548 section 3.4, RFC 8547 section 5.1), and what was negotiated.
//
// An application on the machine of a gateway asks the instances that run there:
//
//	s, err := session.Of(conn)                    // a net.Conn
//	s, err := session.Lookup(local, remote)       // addresses as the application's host sees them
//	s, err := session.Wait(ctx, local, remote)    // until the session exists
//
// These open what they need and close it again. A Finder keeps it open. An application on a host behind a gateway asks that gateway's
// control plane over HTTPS, by the same methods of a Finder that Remote made.
//
// Errors say what to do. Of them errors.Is finds ErrNotEncrypted (the connection is in the clear), ErrNotConnected (it is still being set
// up), ErrUnknown (no gateway that was asked knows it: it takes another way, or is over), ErrNotAllowed (this user may not look), and
// ErrAmbiguous (several connections have these addresses). ErrUnavailable beside ErrUnknown means that a gateway could not be
// asked: the control plane, which knows of connections that are not encrypted, did not answer.
//
// Session IDs of encrypted connections come from the session table, a file that is mapped and searched without a system call. All else
// comes from the control plane over a socket. Both are for the user that runs the gateway, for root, and for the group that the
// configuration names (session_table.group).
//
// It is not the key exchange, and it decides nothing about a connection. A session ID proves nothing by itself: compare it with the far
// end's over something that a man in the middle cannot forge.
//
// Memory: sessions are copies. A Finder is safe for concurrent use.
package session
