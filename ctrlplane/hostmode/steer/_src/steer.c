// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The programs that lead a machine's TCP through a gateway. steer is attached to a protected interface, once to each direction, and takes
// TCP to a gateway's port, which is a TAP device that nobody reads: the gateway sees what arrives there, and what it sends there emit takes
// back to the interface, on its way out or in. `go generate` compiles this file to ../steer.o.

#include <linux/bpf.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define htons(n) __builtin_bswap16(n)

static void *(*const map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_update)(void *map, const void *key, const void *value, __u64 flags) = (void *)BPF_FUNC_map_update_elem;
static long (*const map_delete)(void *map, const void *key) = (void *)BPF_FUNC_map_delete_elem;
static long (*const load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)BPF_FUNC_skb_load_bytes;
static long (*const redirect)(u32 ifindex, __u64 flags) = (void *)BPF_FUNC_redirect;
static long (*const vlan_push)(void *skb, u16 proto, u16 tci) = (void *)BPF_FUNC_skb_vlan_push;
static long (*const vlan_pop)(void *skb) = (void *)BPF_FUNC_skb_vlan_pop;
static struct bpf_sock *(*const skc_lookup_tcp)(void *skb, struct bpf_sock_tuple *t, u32 len, __u64 netns, __u64 flags) = (void *)BPF_FUNC_skc_lookup_tcp;
static long (*const sk_release)(void *sk) = (void *)BPF_FUNC_sk_release;
static long (*const fib_lookup)(void *skb, struct bpf_fib_lookup *p, int len, u32 flags) = (void *)BPF_FUNC_fib_lookup;

enum {
	AF_INET = 2, AF_INET6 = 10,
	ETH_IP = 0x0800, ETH_IP6 = 0x86dd, ETH_VLAN = 0x8100,
	ETH_LEN = 14,
	PROTO_TCP = 6, PROTO_ICMP = 1, PROTO_ICMP6 = 58,
	SYN = 0x02, RST = 0x04, ACK = 0x10,
	OPT_END = 0, OPT_NOP = 1, OPT_TS = 8, OPT_ENO = 69,
	PASS = -1, // to the next program, which is the kernel's own way
	STOP = 2,  // drop
	MAX_INTERFACES = 64,
};

// What a program is loaded with.
const volatile u32 target;   // interface that TCP is taken to; 0: none, and TCP is dropped
const volatile u32 lenient;  // without target: only TCP of encrypted connections is dropped
const volatile u32 mark;     // on what comes from the gateway
const volatile u32 keepmark; // the mark is left on for a program behind this one
const volatile u32 inward;   // frames come from the far end: their destination is the near end
const volatile u32 own;      // only connections of the machine's own addresses are taken
const volatile u32 tag;      // VLAN that tells interfaces apart at the gateway's ports, 0 for none
const volatile u32 side;     // of emit: the port that it is attached to, 0 inside and 1 outside

struct connection {
	u8 near[16], far[16]; // IPv4 addresses are mapped
	u16 near_port, far_port;
};

struct exit {
	u32 ifindex;
	u32 flags;
};

// older has the connections that were open before the gateway started.
struct {
	int (*type)[BPF_MAP_TYPE_HASH];
	struct connection *key;
	u32 *value;
	int (*max_entries)[1024];
} older SEC(".maps");

// encrypted has the connections that the gateway encrypts, and that are of no use to anybody without it.
struct {
	int (*type)[BPF_MAP_TYPE_LRU_HASH];
	struct connection *key;
	u32 *value;
	int (*max_entries)[4096];
} encrypted SEC(".maps");

// agreed has connections whose far end says that they are to be encrypted. Anybody may say that of any connection, so they are in encrypted
// only once the near end has answered.
struct {
	int (*type)[BPF_MAP_TYPE_LRU_HASH];
	struct connection *key;
	u32 *value;
	int (*max_entries)[4096];
} agreed SEC(".maps");

// forwarded has the connections that the machine translates addresses for, which have no socket here: 1 where the gateway encrypts them, and 0
// before. Nobody says when they are over, so that the ones that have been silent for the longest time give way.
struct {
	int (*type)[BPF_MAP_TYPE_LRU_HASH];
	struct connection *key;
	u32 *value;
	int (*max_entries)[4096];
} forwarded SEC(".maps");

// exits says where what the gateway sends leaves, by port and VLAN.
struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	u32 *key;
	struct exit *value;
	int (*max_entries)[128];
} exits SEC(".maps");

// state has a 1 while TCP is taken to the gateway.
struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	u32 *key;
	u32 *value;
	int (*max_entries)[1];
} state SEC(".maps");

// own_addresses has the Ethernet address of each protected interface, by VLAN.
struct {
	int (*type)[BPF_MAP_TYPE_ARRAY];
	u32 *key;
	struct { u16 mac[3], unused; } *value;
	int (*max_entries)[MAX_INTERFACES];
} own_addresses SEC(".maps");

struct packet {
	struct connection c;
	u32 at;       // of what follows the IP header
	u8 proto;
	u8 fragment;  // not the first one: there are no ports in it
	u8 v6;
};

INLINE void mapped(u8 *to, const u8 *v4)
{
	__builtin_memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, v4, 4);
}

// orient puts the two ends of a packet in their places.
INLINE void orient(struct connection *c, const u8 *src, const u8 *dst, u32 in)
{
	__builtin_memcpy(c->near, in ? dst : src, 16);
	__builtin_memcpy(c->far, in ? src : dst, 16);
}

INLINE int read4(struct __sk_buff *skb, u32 at, struct packet *p, u32 in)
{
	u8 h[20], src[16], dst[16];
	if (load_bytes(skb, at, h, sizeof h) < 0)
		return 0;
	mapped(src, h + 12);
	mapped(dst, h + 16);
	orient(&p->c, src, dst, in);
	p->at = at + (h[0] & 0xf) * 4;
	p->proto = h[9];
	p->fragment = ((h[6] & 0x1f) | h[7]) != 0;
	p->v6 = 0;
	return 1;
}

INLINE int read6(struct __sk_buff *skb, u32 at, struct packet *p, u32 in)
{
	u8 h[40], e[8];
	if (load_bytes(skb, at, h, sizeof h) < 0)
		return 0;
	orient(&p->c, h + 8, h + 24, in);
	p->fragment = 0;
	p->v6 = 1;
	p->proto = h[6];
	at += 40;
#pragma unroll
	for (int i = 0; i < 6; i++) {
		if (p->proto != 0 && p->proto != 43 && p->proto != 60 && p->proto != 44)
			break;
		if (load_bytes(skb, at, e, sizeof e) < 0)
			return 0;
		if (p->proto == 44) {
			p->fragment = (e[2] | (e[3] & 0xf8)) != 0;
			at += 8;
		} else {
			at += 8 + e[1] * 8;
		}
		p->proto = e[0];
		if (p->fragment)
			break;
	}
	p->at = at;
	return 1;
}

INLINE int read_ip(struct __sk_buff *skb, u32 at, int v6, struct packet *p, u32 in)
{
	return v6 ? read6(skb, at, p, in) : read4(skb, at, p, in);
}

// erroneous makes of an ICMP error the packet that it is about, which the near end sent, and reports whether there is one.
INLINE int erroneous(struct __sk_buff *skb, struct packet *p)
{
	u8 type;
	if (p->fragment || load_bytes(skb, p->at, &type, 1) < 0)
		return 0;
	if (p->v6 ? type < 1 || type > 4 : type != 3 && type != 4 && type != 11 && type != 12)
		return 0;
	return read_ip(skb, p->at + 8, p->v6, p, 0) && p->proto == PROTO_TCP;
}

// ours reports whether an address is the machine's own: the kernel would not send on what has it for its destination.
INLINE int ours(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup f = {};
	f.ifindex = skb->ifindex;
	if (p->v6) {
		f.family = AF_INET6;
		__builtin_memcpy(f.ipv6_dst, p->c.near, 16);
		__builtin_memcpy(f.ipv6_src, p->c.far, 16);
	} else {
		f.family = AF_INET;
		__builtin_memcpy(&f.ipv4_dst, p->c.near + 12, 4);
		__builtin_memcpy(&f.ipv4_src, p->c.far + 12, 4);
	}
	long to = fib_lookup(skb, &f, sizeof f, BPF_FIB_LOOKUP_SKIP_NEIGH);
	return to == BPF_FIB_LKUP_RET_NOT_FWDED || to == BPF_FIB_LKUP_RET_FWD_DISABLED;
}

// stacked reports whether what leaves has another Ethernet address than the interface: it is of a macvlan or macvtap above it, which is an
// interface of its own, mostly of a container or a virtual machine. Answers come for that address, so that they go past these programs.
INLINE int stacked(struct __sk_buff *skb)
{
	u16 src[3];
	u16 *mac = map_lookup(&own_addresses, &(u32){tag});
	if (!mac || load_bytes(skb, 6, src, sizeof src) < 0)
		return 0;
	return src[0] != mac[0] || src[1] != mac[1] || src[2] != mac[2];
}

// has_socket reports whether a socket of this machine has the connection of a packet that it sends.
INLINE int has_socket(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;
	u32 state;
	if (p->v6) {
		__builtin_memcpy(t.ipv6.saddr, p->c.far, 16);
		__builtin_memcpy(t.ipv6.daddr, p->c.near, 16);
		t.ipv6.sport = p->c.far_port;
		t.ipv6.dport = p->c.near_port;
		sk = skc_lookup_tcp(skb, &t, sizeof t.ipv6, BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(&t.ipv4.saddr, p->c.far + 12, 4);
		__builtin_memcpy(&t.ipv4.daddr, p->c.near + 12, 4);
		t.ipv4.sport = p->c.far_port;
		t.ipv4.dport = p->c.near_port;
		sk = skc_lookup_tcp(skb, &t, sizeof t.ipv4, BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return 0;
	state = sk->state;
	sk_release(sk);
	return state != BPF_TCP_LISTEN;
}

INLINE void read_ports(struct packet *p, const u8 *h, u32 in)
{
	__builtin_memcpy(&p->c.near_port, h + (in ? 2 : 0), 2);
	__builtin_memcpy(&p->c.far_port, h + (in ? 0 : 2), 2);
}

// has_eno reports whether a segment that is no SYN has an ENO option: its sender says that the connection is encrypted (RFC 8547, 4.2).
INLINE int has_eno(struct __sk_buff *skb, u32 at, const u8 *h)
{
	u8 o[4];
	u32 end = at + (h[12] >> 4) * 4;
	at += 20;
	if (h[13] & SYN || at >= end || load_bytes(skb, at, o, 4) < 0)
		return 0;
	if (o[0] == OPT_NOP && o[1] == OPT_NOP && o[2] == OPT_TS && at + 12 == end) // nearly all are so
		return 0;
	for (int i = 0; i < 20 && at < end; i++) {
		if (load_bytes(skb, at, o, 2) < 0 || o[0] == OPT_END)
			return 0;
		if (o[0] == OPT_ENO)
			return 1;
		if (o[0] != OPT_NOP && o[1] < 2)
			return 0;
		at += o[0] == OPT_NOP ? 1 : o[1];
	}
	return 0;
}

// keep has the guard know a connection as an encrypted one.
INLINE void keep(struct connection *c)
{
	u32 one = 1;
	u32 *known = map_lookup(&forwarded, c);
	if (known)
		*known = 1;
	else
		map_update(&encrypted, c, &one, 0);
}

// begins puts a connection that the near end opens, or answers, in forwarded when it is not of a socket of this machine.
INLINE void begins(struct __sk_buff *skb, struct connection *c)
{
	u32 zero = 0;
	if (own && skb->ingress_ifindex)
		map_update(&forwarded, c, &zero, BPF_NOEXIST); // a SYN that is sent again changes nothing
	else
		map_delete(&forwarded, c);
}

// note keeps in encrypted or forwarded what a packet that a gateway is to have says of its connection.
INLINE void note(struct __sk_buff *skb, struct packet *p)
{
	u8 h[20];
	u32 one = 1;
	if (p->fragment || load_bytes(skb, p->at, h, sizeof h) < 0)
		return;
	if (inward) {
		if (has_eno(skb, p->at, h))
			map_update(&agreed, &p->c, &one, 0);
	} else if (h[13] & SYN) {
		begins(skb, &p->c);
	} else if (!(h[13] & RST) && map_lookup(&agreed, &p->c)) {
		keep(&p->c);
		map_delete(&agreed, &p->c);
	} else if (own && skb->ingress_ifindex) {
		map_lookup(&forwarded, &p->c); // it is in use
	}
}

// useless reports whether a packet that goes past the gateway is of a connection that was encrypted. The near end begins anew with a SYN.
INLINE int useless(struct __sk_buff *skb, struct packet *p, int quoted)
{
	u8 h[14];
	if (p->fragment || load_bytes(skb, p->at, h, quoted ? 4 : sizeof h) < 0)
		return 0;
	if (!quoted && !inward && (h[13] & (SYN | ACK)) == SYN) {
		map_delete(&encrypted, &p->c);
		map_delete(&agreed, &p->c);
		map_delete(&forwarded, &p->c);
		return 0;
	}
	u32 *f = map_lookup(&forwarded, &p->c);
	return f && *f || map_lookup(&encrypted, &p->c) || map_lookup(&agreed, &p->c);
}

// old reports whether a packet is of a connection from before. One whose machine begins it anew is not: only what the near end itself
// sends says so, since anybody may send a SYN from outside.
INLINE int old(struct __sk_buff *skb, struct packet *p, int quoted)
{
	u8 h[14];
	if (p->fragment || load_bytes(skb, p->at, h, quoted ? 4 : sizeof h) < 0)
		return 0;
	u32 in = quoted ? 0 : inward;
	read_ports(p, h, in);
	if (!map_lookup(&older, &p->c))
		return 0;
	if (!quoted && !in && (h[13] & SYN)) {
		map_delete(&older, &p->c);
		return 0;
	}
	return 1;
}

SEC("tc") int steer(struct __sk_buff *skb)
{
	struct packet p = {};
	int quoted = 0;
	if (skb->mark == mark) {
		if (!keepmark)
			skb->mark = 0;
		return PASS;
	}
	if (skb->vlan_present || skb->protocol != htons(ETH_IP) && skb->protocol != htons(ETH_IP6))
		return PASS;
	if (inward && own && skb->pkt_type != 0) // not for this machine
		return PASS;
	if (!read_ip(skb, ETH_LEN, skb->protocol == htons(ETH_IP6), &p, inward))
		return PASS;
	if (inward && p.proto == (p.v6 ? PROTO_ICMP6 : PROTO_ICMP)) {
		if (!erroneous(skb, &p))
			return PASS;
		quoted = 1;
	}
	if (p.proto != PROTO_TCP || old(skb, &p, quoted))
		return PASS;
	// What leaves without having come from anywhere is the machine's own.
	if (own && (inward || skb->ingress_ifindex) && !ours(skb, &p))
		return PASS;
	if (own && !inward && !skb->ingress_ifindex && stacked(skb)) {
		// The address that is known here may be one of a moment ago: what was encrypted, or is to be, does not leave by that.
		if (target || !lenient && !has_socket(skb, &p))
			return PASS;
	}
	if (!target)
		return !lenient || useless(skb, &p, quoted) ? STOP : PASS;
	u32 *on = map_lookup(&state, &(u32){0});
	if (!on || !*on)
		return PASS;
	if (!quoted)
		note(skb, &p);
	if (tag && vlan_push(skb, htons(ETH_VLAN), tag) < 0)
		return STOP;
	return redirect(target, BPF_F_INGRESS);
}

// note_own keeps in encrypted or forwarded what the gateway says of a connection to its far end.
INLINE void note_own(struct __sk_buff *skb)
{
	struct packet p = {};
	u8 h[20];
	if (skb->protocol != htons(ETH_IP) && skb->protocol != htons(ETH_IP6))
		return;
	if (!read_ip(skb, ETH_LEN, skb->protocol == htons(ETH_IP6), &p, 0) || p.proto != PROTO_TCP || p.fragment)
		return;
	if (load_bytes(skb, p.at, h, sizeof h) < 0 || !has_eno(skb, p.at, h))
		return;
	read_ports(&p, h, 0);
	keep(&p.c);
}

SEC("tc") int emit(struct __sk_buff *skb)
{
	u32 vid = 0;
	if (skb->vlan_present) {
		vid = skb->vlan_tci & 0xfff;
	} else if (skb->protocol == htons(ETH_VLAN)) {
		u8 tci[2];
		if (load_bytes(skb, ETH_LEN, tci, 2) < 0)
			return STOP;
		vid = (tci[0] & 0xf) << 8 | tci[1];
	}
	u32 at = side * 64 + (vid & 63);
	struct exit *e = map_lookup(&exits, &at);
	if (!e || !e->ifindex || vid > 63)
		return STOP;
	if (vid && vlan_pop(skb) < 0)
		return STOP;
	if (side == 1)
		note_own(skb);
	skb->mark = mark;
	return redirect(e->ifindex, e->flags);
}

// sink keeps what was taken to a port, and the gateway has seen there, from going anywhere else.
SEC("tc") int sink(struct __sk_buff *skb)
{
	return STOP;
}

char license_of_programs[] SEC("license") = "Dual MIT/GPL";
