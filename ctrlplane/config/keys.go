package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/resumption"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Key is a line of the table of keys.
type Key struct {
	Name    string // dotted: the part before the dot is the section in the YAML file
	Default string // as `--set` takes it
	Help    string // one sentence or two, with units
	kind
}

// Type names the type of the key's value.
func (k *Key) Type() string { return k.kind.Name }

// Allowed says which values the key takes.
func (k *Key) Allowed() string { return k.kind.Allowed }

// Value returns the key's value in a configuration, as `--set` takes it.
func (k *Key) Value(c *Config) string { return k.Show(c) }

// Keys returns the table of keys in the order of the reference. Each call returns a fresh slice.
func Keys() []Key { return append([]Key(nil), keys...) }

func policyOption(p flowtable.Policy) option[flowtable.Policy] {
	return option[flowtable.Policy]{p.String(), p}
}

// keys is constant after initialisation.
var keys = []Key{
	{"name", "default", "Name of the instance. It separates instances on one machine: their run directory, shared memory and control socket.",
		text("a-z, 0-9, `.`, `_`, `-`", func(c *Config) *string { return &c.Name }, instance.CheckName)},
	{"inside", "", "Port towards the hosts, which speak plain TCP: a network interface (eth0, or xdp:eth0 by AF_XDP), a PCI address or an EAL device string.",
		text("PORT", func(c *Config) *string { return &c.Inside }, anything)},
	{"outside", "", "Port towards the network, on which tcpcrypt is spoken: a network interface (eth0, or xdp:eth0 by AF_XDP), a PCI address or an EAL device string.",
		text("PORT", func(c *Config) *string { return &c.Outside }, anything)},
	{"policy", "opportunistic", "What happens to connections that cannot be encrypted: opportunistic passes them in the clear, require refuses them, disabled (or off) passes every connection untouched.",
		choice(func(c *Config) *flowtable.Policy { return &c.Policy }, policyOption(flowtable.Opportunistic), policyOption(flowtable.Require), policyOption(flowtable.Disabled), option[flowtable.Policy]{"off", flowtable.Disabled})},
	{"rules", "[]", "Rules in order, for connections by prefix, port, direction and VLAN: see Policy by rule. The first that fits holds; where none does, policy, teps, aeads and the rest as they stand outside of rules.",
		rulesKind()},
	{"engine", "auto", "Implementation of the AEADs; auto takes the fastest one that the CPU can run. The environment variable LINECRYPT_ENGINE overrides it.",
		text("auto, generic or another engine of this build", func(c *Config) *string { return &c.Engine }, word)},
	{"fastpath", "on", "Short way for the segments that nearly all are; off sends every segment through the full translator, for comparison.",
		choice(func(c *Config) *bool { return &c.FastPath }, option[bool]{"on", true}, option[bool]{"off", false})},

	{"workers.count", "1", "Number of workers, each a thread on a core of its own. It follows from workers.cores when that is given.",
		integer(func(c *Config) *int { return &c.Workers.Count }, 1, MaxWorkers)},
	{"workers.cores", "[]", "Cores of the workers by number, one worker each. Empty: the highest-numbered cores that no other instance uses.",
		list("core numbers", func(c *Config) *[]int { return &c.Workers.Cores }, parseCore, true, false)},
	{"workers.poll", "busy", "busy polls the ports without a pause; adaptive sleeps while both ports are idle, at the price of latency.",
		choice(func(c *Config) *Poll { return &c.Workers.Poll }, option[Poll]{"busy", Busy}, option[Poll]{"adaptive", Adaptive})},
	{"workers.idle_sleep", "50us", "The longest sleep of an adaptive worker at a time.",
		duration(func(c *Config) *time.Duration { return &c.Workers.IdleSleep }, time.Microsecond, 10*time.Millisecond)},

	{"flows.max", "65536", "Established connections that one worker keeps track of. Where a further one finds no place of a plain connection's, it passes or is refused as the policy says.",
		integer(func(c *Config) *int { return &c.Flows.Max }, 64, 1<<22)},
	{"buffers.memory", "64MiB", "Memory for packet buffers of one worker, 2304 bytes each. Frames in flight may take five eighths of it, and one connection half of that as long as nobody else needs it; 1 Gbit/s at a round trip of 100 ms takes 20 MB.",
		size(func(c *Config) *int { return &c.Buffers.Memory }, 3<<20, 8<<30)},
	{"buffers.count", "0", "Packet buffers of one worker by number; 0 is as many as buffers.memory holds. Kept for files of older versions: say buffers.memory.",
		scalar("integer", "0, or 1024 to 4194304", func(c *Config) *int { return &c.Buffers.Count }, parseBuffers)},
	{"memory.huge_pages", "auto", "auto puts the shared segment, the expanded keys and the buffers of packet ports into reserved huge pages as long as enough are free, after DPDK has taken its own; off leaves them to others. Without huge pages the gateway runs the same, and slower with many connections.",
		choice(func(c *Config) *bool { return &c.Memory.HugePages }, option[bool]{"auto", true}, option[bool]{"off", false})},
	{"retransmit.flow_bytes", "32MiB", "Sealed bytes of one connection that may be in flight, unacknowledged by the far end. The window that its host sees ends there, or earlier where memory is scarce.",
		size(func(c *Config) *int { return &c.Retransmit.FlowBytes }, 64<<10, 256<<20)},
	{"retransmit.give_up", "15m", "Time after which a far end that acknowledges nothing of what is in flight is given up: the connection is reset on both sides (RFC 9293 section 3.8.3). Its buffers are given back after a minute, and where places for frames in flight are scarce it is given up after 100 s.",
		duration(func(c *Config) *time.Duration { return &c.Retransmit.GiveUp }, 100*time.Second, 24*time.Hour)},
	{"reassembly.flow_bytes", "1MiB", "Bytes of one connection that are kept while they wait for missing ones.",
		size(func(c *Config) *int { return &c.Reassembly.FlowBytes }, 128<<10, 256<<20)},
	{"reassembly.large_buffers", "64", "Buffers of one worker, 64 KiB each, for frames larger than a packet.",
		integer(func(c *Config) *int { return &c.Reassembly.LargeBuffers }, 2, 1<<16)},

	{"handshake.retransmit", "1s", "Time after which a segment of the gateway's own is sent again during connection set-up; it doubles with each attempt.",
		duration(func(c *Config) *time.Duration { return &c.Handshake.Retransmit }, 10*time.Millisecond, time.Minute)},
	{"handshake.timeout", "30s", "Time after which a connection that is not set up is given up.",
		duration(func(c *Config) *time.Duration { return &c.Handshake.Timeout }, 100*time.Millisecond, 10*time.Minute)},
	{"handshake.half_open", "16384", "Connections of openers inside, and as many of openers outside, that one worker remembers before their opener is known to be real; the oldest go for younger ones.",
		integer(func(c *Config) *int { return &c.Handshake.HalfOpen }, 16, 1<<20)},
	{"handshake.eno_tries", "2", "SYNs sent with the ENO option before a retransmission goes without it, because some middleboxes drop what they do not know (policy opportunistic only).",
		integer(func(c *Config) *int { return &c.Handshake.ENOTries }, 1, 10)},

	{"teps", "[ECDHE_Curve25519, ECDHE_P256, ECDHE_Curve448, ECDHE_P521]", "Key agreements on offer, the preferred one first.",
		list(names(tcpcrypt.TEPs()), func(c *Config) *[]tcpcrypt.TEP { return &c.TEPs }, named("key agreement", tcpcrypt.TEPs()), false, false)},
	{"aeads", "[AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305]", "Ciphers on offer, the preferred one first.",
		list(names(tcpcrypt.AEADs()), func(c *Config) *[]tcpcrypt.AEAD { return &c.AEADs }, named("cipher", tcpcrypt.AEADs()), false, false)},
	{"application_aware", "off", "Application-aware bit: on says that applications here use session IDs; mandatory also refuses to encrypt with a far end that does not say so.",
		choice(func(c *Config) *Awareness { return &c.ApplicationAware }, option[Awareness]{"off", AwareOff}, option[Awareness]{"on", AwareOn}, option[Awareness]{"mandatory", AwareMandatory})},

	{"rekey.frames", "16777216", "Frames sealed under one key before the gateway changes it; 0 is not before half of what the cipher allows, which is 2147483648. A connection that cannot change its key by then is reset.",
		count(func(c *Config) *uint64 { return &c.Rekey.Frames })},
	{"rekey.bytes", "64GiB", "Bytes sealed under one key before the gateway changes it; 0 is not before half of what the cipher allows, which is 256 GiB for AES-GCM. A connection that cannot change its key by then is reset.",
		bigSize(func(c *Config) *uint64 { return &c.Rekey.Bytes })},
	{"rekey.time", "1h", "Time after which the gateway changes the keys of a connection that was in use meanwhile; 0 is never.",
		pause(func(c *Config) *time.Duration { return &c.Rekey.Time }, time.Second, 720*time.Hour)},

	{"keepalive.idle", "0", "Time without a frame from a far end after which the gateway asks it whether it lives, by changing keys, which nobody else can answer (RFC 8548 section 3.9); 0 is never.",
		pause(func(c *Config) *time.Duration { return &c.KeepAlive.Idle }, time.Second, 720*time.Hour)},
	{"keepalive.interval", "75s", "Time after which a far end is asked again that does not answer.",
		duration(func(c *Config) *time.Duration { return &c.KeepAlive.Interval }, time.Second, time.Hour)},
	{"keepalive.probes", "9", "Questions without an answer after which a far end is dead: the connection is reset on both sides.",
		integer(func(c *Config) *int { return &c.KeepAlive.Probes }, 1, 255)},

	{"resume", "on", "Resume earlier sessions, so that a connection between the same hosts needs no key exchange and is set up one round trip earlier (RFC 8548 section 3.5); off resumes none, and keeps nothing to resume with.",
		choice(func(c *Config) *bool { return &c.Resume }, option[bool]{"on", true}, option[bool]{"off", false})},
	{"resumption.cache", "16384", "Session secrets that are kept, in memory alone, to resume with; 0 keeps none. A peer has a share of them once they are scarce, and the oldest of who has most goes for a younger one.",
		integer(func(c *Config) *int { return &c.Resumption.Cache }, 0, resumption.MaxCapacity)},
	{"resumption.lifetime", "1h", "Time after which a session secret that nobody resumed with is erased.",
		duration(func(c *Config) *time.Duration { return &c.Resumption.Lifetime }, time.Second, 24*time.Hour)},
	{"resumption.nonce", "8", "Bytes of a resumption nonce, 0 to 8, where a SYN has the option space; less is for machines that are never cloned nor restored from a snapshot.",
		integer(func(c *Config) *int { return &c.Resumption.Nonce }, 0, tcpcrypt.MaxResumeNonce)},
	{"authenticated", "no", "yes holds a host back until the gateway of the peer behind which its far end lies has confirmed the session ID, and refuses connections with far ends that are behind no peer; no only shows in `linecrypt sessions` what the peer said.",
		choice(func(c *Config) *bool { return &c.Authenticated }, option[bool]{"no", false}, option[bool]{"yes", true})},
	{"on_mismatch", "alarm", "What happens to a connection of which a peer tells another session ID, so that somebody is in the middle: alarm logs and counts it, reset also resets the connection.",
		choice(func(c *Config) *OnMismatch { return &c.OnMismatch }, option[OnMismatch]{"alarm", MismatchAlarm}, option[OnMismatch]{"reset", MismatchReset})},
	{"peering.key", "", "File of the Ed25519 key by which peers know this gateway, which only its owner may read: `linecrypt key generate` makes one.",
		text("file", func(c *Config) *string { return &c.Peering.Key }, anything)},
	{"peering.listen", "off", "Address and port at which the control plane takes connections of peers; off for none, where all peers have an address.",
		listenAddress(func(c *Config) *string { return &c.Peering.Listen })},
	{"peering.timeout", "10s", "How long a connection whose far end must be authenticated waits for its peer's word before it is refused.",
		duration(func(c *Config) *time.Duration { return &c.Peering.Timeout }, 100*time.Millisecond, 10*time.Minute)},
	{"peers", "[]", "Other gateways that compare session IDs with this one, each with name, key (as `linecrypt key show` prints it there), prefixes (of the hosts behind it) and, where this gateway is to dial, address (host:port of its peering.listen).",
		keyfile.Mappings("items of name, key, prefixes, address", MaxPeers, peerKeys, func(c *Config) *[]Peer { return &c.Peers }, func() Peer { return Peer{} }, checkPeer)},

	{"metrics.listen", "127.0.0.1:9469", "Address and port at which the control plane serves /metrics; off for none. When the default is taken by another program the control plane goes on without.",
		listenAddress(func(c *Config) *string { return &c.Metrics.Listen })},
	{"metrics.page", "on", "A page for browsers at that address too, for whoever can reach it: the load of the last ten minutes, and connections, without keys and whole session IDs.",
		choice(func(c *Config) *bool { return &c.Metrics.Page }, option[bool]{"on", true}, option[bool]{"off", false})},
	{"session_table.group", "", "Group whose members may look session IDs up. Empty: only the user that runs the gateway.",
		text("group name or number", func(c *Config) *string { return &c.SessionTable.Group }, word)},

	{"sessions.listen", "off", "Address and port at which the control plane tells hosts behind the gateway the session IDs of their own connections, over HTTPS with certificates of both sides; off for none.",
		listenAddress(func(c *Config) *string { return &c.Sessions.Listen })},
	{"sessions.certificate", "", "File with the control plane's certificate for sessions.listen, PEM.",
		text("path", func(c *Config) *string { return &c.Sessions.Certificate }, plain)},
	{"sessions.key", "", "File with its private key, PEM, of mode 0600.",
		text("path", func(c *Config) *string { return &c.Sessions.Key }, plain)},
	{"sessions.client_ca", "", "File with the certificates of who signs those of hosts, PEM. A host's certificate names its addresses.",
		text("path", func(c *Config) *string { return &c.Sessions.ClientCA }, plain)},

	{"dpdk.eal", "[]", "Further arguments for DPDK's environment abstraction layer, for example [--no-huge].",
		list("EAL arguments", func(c *Config) *[]string { return &c.DPDK.EAL }, parseArgument, true, true)},
	{"dpdk.memory_mb", "0", "Memory that DPDK reserves, in MiB; 0 is what the buffers need.",
		integer(func(c *Config) *int { return &c.DPDK.MemoryMB }, 0, 1<<20)},
	{"dpdk.mtu", "0", "MTU of DPDK ports whose device has no interface of the kernel's, such as a NIC bound to vfio-pci: 9000 for jumbo frames; 0 is the driver's own. Interfaces keep theirs.",
		integer(func(c *Config) *int { return &c.DPDK.MTU }, 0, MaxMTU)},
	{"log.level", "info", "The least important messages that are written to standard error.",
		choice(func(c *Config) *slog.Level { return &c.Log.Level }, option[slog.Level]{"debug", slog.LevelDebug}, option[slog.Level]{"info", slog.LevelInfo}, option[slog.Level]{"warn", slog.LevelWarn}, option[slog.Level]{"error", slog.LevelError})},

	{"debug.key_log", "off", "File, by its whole path, that the control plane writes the keys of new connections to, with which bench/wireshark/tcpcrypt.lua opens a capture; off for none. Whoever reads it reads the connections. Up to 256 MiB.",
		offOr("whole path or off", func(c *Config) *string { return &c.Debug.KeyLog }, parsePath)},
}

// table is the table of keys as the reader of files takes it.
var table = func() keyfile.Table[Config] {
	t := make(keyfile.Table[Config], len(keys))
	for i := range keys {
		t[i] = keyfile.Key[Config]{Name: keys[i].Name, Kind: keys[i].kind}
	}
	return t
}()

func lookup(name string) *Key {
	for i := range keys {
		if keys[i].Name == name {
			return &keys[i]
		}
	}
	return nil
}

func anything(string) error { return nil }

// word refuses what cannot be the name of a group or an engine.
func word(s string) error {
	if strings.ContainsAny(s, " \t/:,") {
		return fmt.Errorf("%q is not one word", s)
	}
	return nil
}

func parseCore(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n >= 1024 {
		return 0, fmt.Errorf("%q is not a core number from 0 to 1023", s)
	}
	return int(n), nil
}

func parseBuffers(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n != 0 && (n < 1024 || n > 1<<22) {
		return 0, fmt.Errorf("%q is neither 0 nor a number from 1024 to 4194304", s)
	}
	return int(n), nil
}

func parseArgument(s string) (string, error) {
	if s == "" {
		return "", errors.New("an argument is empty")
	}
	return s, plain(s)
}

func listenAddress(field func(*Config) *string) kind {
	return offOr("address:port or off", field, parseListen)
}

// offOr is a text that parse makes empty for "off".
func offOr(allowed string, field func(*Config) *string, parse func(string) (string, error)) kind {
	k := scalar("text", allowed, field, parse)
	k.Show = func(c *Config) string {
		if *field(c) == "" {
			return "off"
		}
		return *field(c)
	}
	return k
}

// parseListen returns an empty text for "off".
func parseListen(s string) (string, error) {
	if s == "off" {
		return "", nil
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil || plain(s) != nil {
		return "", fmt.Errorf("%q is neither address:port nor off", s)
	}
	return s, nil
}

// parsePath returns an empty text for "off".
func parsePath(s string) (string, error) {
	if s == "off" {
		return "", nil
	}
	if !filepath.IsAbs(s) || plain(s) != nil {
		return "", fmt.Errorf("%q is neither a whole path nor off", s)
	}
	return filepath.Clean(s), nil
}

func names[T fmt.Stringer](xs []T) string {
	var s []string
	for _, x := range xs {
		s = append(s, x.String())
	}
	return strings.Join(s, ", ")
}

func named[T fmt.Stringer](what string, xs []T) func(string) (T, error) {
	return func(s string) (T, error) {
		for _, x := range xs {
			if x.String() == s {
				return x, nil
			}
		}
		var none T
		return none, fmt.Errorf("%q is no %s: want some of %s", s, what, names(xs))
	}
}
