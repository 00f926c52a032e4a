package config

import (
	"log/slog"
	"time"

	"linecrypt/ctrlplane/config/keyfile"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/flowtable"
)

// Config is the configuration of one instance. The table of keys in keys.go documents each field.
type Config struct {
	Name     string
	Inside   string // PORT towards the hosts, empty when none was given
	Outside  string // PORT towards the network, empty when none was given
	Policy   flowtable.Policy
	Rules    []Rule // in order; what none of them is about goes by Policy and the keys below
	Engine   string
	FastPath bool // nearly all segments take a short way through the translator

	Workers    Workers
	Flows      Flows
	Buffers    Buffers
	Memory     Memory
	Retransmit Retransmit
	Reassembly Reassembly
	Handshake  Handshake

	TEPs             []tcpcrypt.TEP  // in order of preference, never empty
	AEADs            []tcpcrypt.AEAD // in order of preference, never empty
	ApplicationAware Awareness

	Authenticated bool       // far ends must be authenticated by a peer
	OnMismatch    OnMismatch // of a peer's session ID and the gateway's own

	Peering Peering
	Peers   []Peer // in the order of the file

	Rekey        Rekey
	KeepAlive    KeepAlive
	Resume       bool
	Resumption   Resumption
	Metrics      Metrics
	SessionTable SessionTable
	Sessions     Sessions
	DPDK         DPDK
	Log          Log
	Debug        Debug

	set map[string]Position
}

// MaxWorkers is the largest number of workers of an instance.
const MaxWorkers = 64

// Awareness is the use of the application-aware bit (RFC 8547 section 4.3).
type Awareness string

// The uses of the application-aware bit.
const (
	AwareOff       Awareness = "off"       // a=0 is sent
	AwareOn        Awareness = "on"        // a=1 is sent
	AwareMandatory Awareness = "mandatory" // a=1 is sent, and a far end that sends a=0 is not encrypted with
)

// OnMismatch is what happens to a connection of which a peer tells another session ID.
type OnMismatch string

// The answers to a mismatch.
const (
	MismatchAlarm OnMismatch = "alarm" // it is logged and counted
	MismatchReset OnMismatch = "reset" // and the connection is reset
)

// Poll is how a worker waits for packets.
type Poll string

// The poll modes.
const (
	Busy     Poll = "busy"     // never sleeps
	Adaptive Poll = "adaptive" // sleeps when both ports are idle
)

// Workers are the data plane's packet threads.
type Workers struct {
	Count     int   // number of workers; len(Cores) when Cores is not empty
	Cores     []int // core numbers in worker order; empty: chosen among the free ones
	Poll      Poll
	IdleSleep time.Duration // the longest sleep of an idle adaptive worker
}

// Flows sizes the flow tables.
type Flows struct {
	Max int // established connections of one worker
}

// Buffers sizes the packet buffer pool.
type Buffers struct {
	Memory int // bytes of one worker
	Count  int // buffers of one worker, 0: what Memory holds
}

// Memory is where tables and buffers lie.
type Memory struct {
	HugePages bool // in reserved huge pages, as far as some are free
}

// Retransmit bounds what is in flight.
type Retransmit struct {
	FlowBytes int           // unacknowledged frame bytes of one connection
	GiveUp    time.Duration // a far end that acknowledges nothing for as long is given up
}

// Reassembly bounds what is kept of frames that are not complete.
type Reassembly struct {
	FlowBytes    int // bytes kept of one connection
	LargeBuffers int // 64 KiB buffers of one worker
}

// Handshake are the timers of connection set-up.
type Handshake struct {
	Retransmit time.Duration // first interval of the gateway's own retransmissions, which doubles
	Timeout    time.Duration // set-up takes no longer than this
	HalfOpen   int           // connections of openers inside, and as many of openers outside, whose opener is not known to be real
	ENOTries   int           // SYNs with ENO before one goes without
}

// Peering is how the control plane meets those of its peers.
type Peering struct {
	Key     string        // file of this gateway's own key, empty for none
	Listen  string        // address:port, empty when switched off
	Timeout time.Duration // a connection whose far end must be authenticated waits for that
}

// Rekey is when the gateway changes keys of a connection on its own account; 0 means never, or as late as the cipher allows.
type Rekey struct {
	Frames uint64
	Bytes  uint64
	Time   time.Duration
}

// KeepAlive is how the gateway finds out whether the far ends of idle connections live.
type KeepAlive struct {
	Idle     time.Duration // 0: not at all
	Interval time.Duration
	Probes   int
}

// Metrics is the Prometheus endpoint.
type Metrics struct {
	Listen string // address:port, empty when switched off
	Page   bool   // serve a page for browsers too
}

// Sessions is where hosts behind the gateway look their session IDs up, over HTTPS.
type Sessions struct {
	Listen      string // empty for nowhere
	Certificate string // PEM files
	Key         string
	ClientCA    string
}

// Resumption is what is kept of sessions so that later connections between the same hosts need no key exchange.
type Resumption struct {
	Cache    int           // session secrets; 0: none
	Lifetime time.Duration // of each
	Nonce    int           // bytes of a resumption nonce where there is room for them
}

// SessionTable is the table in which applications look session IDs up.
type SessionTable struct {
	Group string // the group that may read it, empty for none
}

// MaxMTU is the largest MTU in bytes that buffers for jumbo frames hold, with the link-layer header and two tags before it.
const MaxMTU = 9194

// DPDK is what the environment abstraction layer is started with.
type DPDK struct {
	EAL      []string // arguments appended to the gateway's own
	MemoryMB int      // 0: what the buffers need
	MTU      int      // of devices without an interface, 0: their drivers' own
}

// Log is what the processes write to standard error.
type Log struct {
	Level slog.Level
}

// Debug is for looking at what is wrong.
type Debug struct {
	KeyLog string // file that master keys are written to, empty for none
}

// Default returns the configuration of an empty file.
func Default() *Config {
	c := &Config{set: map[string]Position{}}
	for _, k := range keys {
		if err := k.Set(c, keyfile.TextValue(k.Default, k.List)); err != nil {
			panic("config: default of " + k.Name + ": " + err.Error())
		}
	}
	return c
}

// Set gives the key the value that text stands for, as `--set name=text` does. Items of a list are separated by commas.
// The error is an *Error that begins with origin, for example "command line".
func (c *Config) Set(origin, name, text string) error {
	k := lookup(name)
	if k == nil {
		return &Error{Position: Position{File: origin}, Key: name, Reason: table.Unknown(name)}
	}
	c.set[name] = Position{File: origin}
	if err := k.Set(c, keyfile.TextValue(text, k.List)); err != nil {
		return c.Err(name, err)
	}
	return nil
}

// Pos returns where the key was set, the zero Position when it has its default.
func (c *Config) Pos(name string) Position { return c.set[name] }

// IsSet reports whether the key was given in the file or on the command line.
func (c *Config) IsSet(name string) bool {
	_, ok := c.set[name]
	return ok
}
