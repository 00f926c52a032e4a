/*
 * Socket options of level IPPROTO_TCP by which a program asks for the tcpcrypt session beneath its connection, as in
 *
 *	unsigned char id[33];
 *	socklen_t len = sizeof id;
 *	getsockopt(s, IPPROTO_TCP, TCP_CRYPT_SESSIONID, id, &len);
 *
 * The program runs on the machine of a Linecrypt gateway, unchanged, under LD_PRELOAD=liblinecrypt-session.so; without the library the
 * kernel answers ENOPROTOOPT. The names are those of draft-ietf-tcpinc-api where it has one. It gives no numbers, and those of the first
 * tcpcrypt implementation are Linux's TCP_MAXSEG and its neighbours: these here are far from all that Linux uses.
 *
 * Errors, beside those of getsockopt(2) and setsockopt(2):
 *
 *	ENOTCONN    the socket is not connected yet, or its connection is still being set up
 *	EOPNOTSUPP  the connection is in the clear: there is no session
 *	ENOENT      no gateway of this machine knows the connection (it takes another way), or none runs
 *	EAGAIN      a gateway could know it and cannot tell: its control plane does not answer. Try again.
 *	EACCES      this user may not ask: session_table.group of the gateway's configuration names the group that may
 *	ENOTUNIQ    several connections have these addresses: set TCP_CRYPT_VLAN, or the environment variable LINECRYPT_INSTANCE
 *	EINVAL      the buffer is too small (nothing is cut off), or the value is none
 *	EISCONN     what is to be set had to be set before connect()
 *	ENOBUFS     too many sockets have the application-aware bit set, or TCP_CRYPT_RESUME
 *
 * The environment: LINECRYPT_INSTANCE names the instances to ask, with commas in between, and LINECRYPT_RUN_DIR the folder in which
 * they lie. Without them all instances are asked that can be found.
 */
#ifndef LINECRYPT_TCPCRYPT_H
#define LINECRYPT_TCPCRYPT_H

/* TCP-ENO (RFC 8547). Values are int where nothing else is said. "get": getsockopt, "set": setsockopt. */
#define TCP_ENO_SESSID     854701 /* get: the session ID, 33 bytes, the byte of the negotiated TEP first */
#define TCP_ENO_ROLE       854702 /* get: 0 in the clear, 1 role A (normally who opened the connection), 2 role B */
#define TCP_ENO_NEGSPEC    854703 /* get: the byte of the negotiated TEP, such as 0x23; its high bit is the "v" bit */
#define TCP_ENO_SELF_AWARE 854704 /* set, before connect() or listen(): 0 or 1, the application-aware bit to be sent; get: the bit */
#define TCP_ENO_PEER_AWARE 854705 /* get: the application-aware bit that the far end sent */
#define TCP_ENO_RAW        854706 /* get: the ENO option of the SYN or SYN-ACK that was sent for this end, kind and length included */
#define TCP_ENO_TRANSCRIPT 854707 /* get: the negotiation transcript (RFC 8547 section 4.8), up to 80 bytes */

/* tcpcrypt (RFC 8548). */
#define TCP_CRYPT_SESSIONID   854800 /* get: as TCP_ENO_SESSID */
#define TCP_CRYPT_AEAD        854801 /* get: the cipher's identifier (RFC 8548 section 7), such as 0x01 for AES-128-GCM */
#define TCP_CRYPT_RESUMED     854802 /* get: 1 where the keys come from an earlier session */
#define TCP_CRYPT_AUTH        854803 /* get: what the gateways know of the far end: TCP_CRYPT_AUTH_NONE and so on */
#define TCP_CRYPT_CACHE_FLUSH 854804 /* set: any int; forgets what could be resumed with the far end of this connection */
#define TCP_CRYPT_VLAN        854805 /* set: the VLAN of the connection, 0 for untagged, where several have its addresses; -1: any */
#define TCP_CRYPT_RESUME      854806 /* set, before connect() or listen(): 0 for connections that resume nothing and leave nothing to
                                        resume with; get, before connect(): 1 or 0 */

#define TCP_CRYPT_AUTH_NONE          0
#define TCP_CRYPT_AUTH_WAITING       1
#define TCP_CRYPT_AUTH_AUTHENTICATED 2
#define TCP_CRYPT_AUTH_MISMATCH      3 /* the peer has told another session ID: somebody is in the middle */

/* Names of other documents for the same. */
#define TCP_ENO_NEGTEP   TCP_ENO_NEGSPEC
#define TCP_CRYPT_SESSID TCP_CRYPT_SESSIONID

#define TCP_CRYPT_SESSIONID_LEN 33

#endif
