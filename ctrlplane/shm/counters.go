package shm

// Counter is the place of a counter in a worker's block.
type Counter uint16

// NumCounters is the number of places in a block. Places from WorkerBase and StreamBase on belong to the worker and to the
// stream translator, which name them themselves: see Group.
const (
	NumCounters = 256

	WorkerBase Counter = 96
	StreamBase Counter = 128
)

// Block is one worker's counters, each written by that worker alone.
type Block [NumCounters]uint64

// Range returns n counters from base on, shared with the block. It is converted to a pointer to an array where one is
// needed. It is nil when the block does not have them.
func (b *Block) Range(base Counter, n int) []uint64 {
	if n < 0 || int(base)+n > NumCounters {
		return nil
	}
	return b[base : int(base)+n : int(base)+n]
}

// Stage is a station that every burst passes, in this order.
type Stage uint8

// The stages.
const (
	StageRx Stage = iota
	StageParse
	StageLookup
	StageStream
	StageCrypto
	StageRewrite
	StageTx
	NumStages
)

var stageNames = [NumStages]string{"rx", "parse", "lookup", "stream", "crypto", "rewrite", "tx"}

// String returns the stage's name.
func (s Stage) String() string {
	if s < NumStages {
		return stageNames[s]
	}
	return "invalid"
}

// Packets returns the counter of packets that went through the stage.
func (s Stage) Packets() Counter { return 2 * Counter(s) }

// Cycles returns the counter of TSC cycles spent in the stage.
func (s Stage) Cycles() Counter { return 2*Counter(s) + 1 }

// Counters that the worker writes. The first places are those of Stage.
const (
	RxInsidePackets Counter = 2*Counter(NumStages) + iota
	RxInsideBytes
	RxOutsidePackets
	RxOutsideBytes
	TxInsidePackets
	TxInsideBytes
	TxOutsidePackets
	TxOutsideBytes
	PassedPackets
	PassedBytes
	Polls
	IdlePolls
	IdleSleeps
	BusyCycles
	IdleCycles
	TimersFired
	FlowsCreated
	FlowsRemoved
	FlowsEvicted
	FlowsRecovered
	HandshakesActive
	HandshakesPassive
	HandshakesDone
	HandshakesFallback
	HandshakesRefused
	HandshakesAborted
	HandshakeResent
	SynWithoutENO
	RequestsSent
	RequestsLost
	RepliesReceived
	RepliesStale
	RepliesBad
	RingResets
	ICMPTranslated
	DropTxFull
	DropNoBuffer
	DropParse
	DropChecksum
	DropFragment
	DropSuperPacket
	DropTableFull
	DropRefused
	DropHandshake
	DropHeld
	DropICMP
	DropUnknownFlow
	DropRequestRing
	DropControlPlane
	DropInternal
	ownCounters
)

// Info says what a counter counts.
type Info struct {
	Name string // snake case, as metrics show it without prefix; at most 47 bytes
	Unit string // at most 15 bytes
	Help string // at most 119 bytes
	Kind Kind
}

// Kind sorts counters for those who show them.
type Kind uint8

// The kinds.
const (
	KindNone    Kind = iota // the place is not in use
	KindPackets             // packets, frames or segments
	KindBytes               // bytes
	KindDrop                // packets dropped for one reason
	KindAbort               // connections aborted for one reason
	KindEvent               // other things that happened
	KindCycles              // cycles of the time-stamp counter
	endKinds
)

var kindNames = [endKinds]string{"none", "packets", "bytes", "drop", "abort", "event", "cycles"}

// String returns the kind's name.
func (k Kind) String() string {
	if k < endKinds {
		return kindNames[k]
	}
	return "invalid"
}

var ownInfos = [ownCounters]Info{
	RxInsidePackets:    {"rx_inside_packets", "packets", "packets received on the inside port", KindPackets},
	RxInsideBytes:      {"rx_inside_bytes", "bytes", "bytes received on the inside port", KindBytes},
	RxOutsidePackets:   {"rx_outside_packets", "packets", "packets received on the outside port", KindPackets},
	RxOutsideBytes:     {"rx_outside_bytes", "bytes", "bytes received on the outside port", KindBytes},
	TxInsidePackets:    {"tx_inside_packets", "packets", "packets sent on the inside port", KindPackets},
	TxInsideBytes:      {"tx_inside_bytes", "bytes", "bytes sent on the inside port", KindBytes},
	TxOutsidePackets:   {"tx_outside_packets", "packets", "packets sent on the outside port", KindPackets},
	TxOutsideBytes:     {"tx_outside_bytes", "bytes", "bytes sent on the outside port", KindBytes},
	PassedPackets:      {"passed_packets", "packets", "packets passed through untouched", KindPackets},
	PassedBytes:        {"passed_bytes", "bytes", "bytes passed through untouched", KindBytes},
	Polls:              {"polls", "events", "rounds of the polling loop", KindEvent},
	IdlePolls:          {"idle_polls", "events", "rounds of the polling loop that found nothing to do", KindEvent},
	IdleSleeps:         {"idle_sleeps", "events", "times the worker slept because it was idle", KindEvent},
	BusyCycles:         {"busy_cycles", "cycles", "cycles of rounds that found work", KindCycles},
	IdleCycles:         {"idle_cycles", "cycles", "cycles of rounds that found nothing to do", KindCycles},
	TimersFired:        {"timers_fired", "events", "timers of flows that fired", KindEvent},
	FlowsCreated:       {"flows_created", "flows", "flows entered into the table", KindEvent},
	FlowsRemoved:       {"flows_removed", "flows", "flows removed from the table", KindEvent},
	FlowsEvicted:       {"flows_evicted", "flows", "plain flows removed because the table was full", KindEvent},
	FlowsRecovered:     {"flows_recovered", "flows", "flows taken over from a data plane that ended", KindEvent},
	HandshakesActive:   {"handshakes_active", "handshakes", "handshakes begun for connections that a host opens", KindEvent},
	HandshakesPassive:  {"handshakes_passive", "handshakes", "handshakes begun for connections that a far end opens", KindEvent},
	HandshakesDone:     {"handshakes_done", "handshakes", "handshakes that ended with keys", KindEvent},
	HandshakesFallback: {"handshakes_fallback", "handshakes", "handshakes that fell back to plain TCP", KindEvent},
	HandshakesRefused:  {"handshakes_refused", "handshakes", "connections refused by policy", KindEvent},
	HandshakesAborted:  {"handshakes_aborted", "handshakes", "handshakes that ended in a reset", KindEvent},
	HandshakeResent:    {"handshake_resent", "packets", "segments of handshakes sent again", KindPackets},
	SynWithoutENO:      {"syn_without_eno", "events", "SYNs sent again without ENO because none with it was answered", KindEvent},
	RequestsSent:       {"requests_sent", "messages", "requests to the control plane", KindEvent},
	RequestsLost:       {"requests_lost", "messages", "requests that the control plane did not answer in time", KindEvent},
	RepliesReceived:    {"replies_received", "messages", "replies of the control plane", KindEvent},
	RepliesStale:       {"replies_stale", "messages", "replies to requests that are no longer open", KindEvent},
	RepliesBad:         {"replies_bad", "messages", "replies that are malformed or make no sense", KindEvent},
	RingResets:         {"ring_resets", "events", "times the damaged content of the reply ring was thrown away", KindEvent},
	ICMPTranslated:     {"icmp_translated", "packets", "ICMP errors about encrypted flows that were translated", KindPackets},
	DropTxFull:         {"drop_tx_full", "packets", "packets that a port had no room to send", KindDrop},
	DropNoBuffer:       {"drop_no_buffer", "packets", "packets for which there was no buffer", KindDrop},
	DropParse:          {"drop_parse", "packets", "malformed packets", KindDrop},
	DropChecksum:       {"drop_checksum", "packets", "packets of encrypted flows with a wrong checksum", KindDrop},
	DropFragment:       {"drop_fragment", "packets", "IP fragments of encrypted flows", KindDrop},
	DropSuperPacket:    {"drop_super_packet", "packets", "packets larger than the port's MTU, left by segmentation offload", KindDrop},
	DropTableFull:      {"drop_table_full", "packets", "packets of new connections while the table was full", KindDrop},
	DropRefused:        {"drop_refused", "packets", "packets of connections that policy refuses", KindDrop},
	DropHandshake:      {"drop_handshake", "packets", "packets that the state of a handshake does not allow", KindDrop},
	DropHeld:           {"drop_held", "packets", "packets held for the control plane and given up", KindDrop},
	DropICMP:           {"drop_icmp", "packets", "ICMP errors about encrypted flows that cannot be translated", KindDrop},
	DropUnknownFlow:    {"drop_unknown_flow", "packets", "packets of connections without state that must not pass", KindDrop},
	DropRequestRing:    {"drop_request_ring", "packets", "packets dropped because the request ring was full", KindDrop},
	DropControlPlane:   {"drop_control_plane", "packets", "packets dropped because the control plane is away and policy requires it", KindDrop},
	DropInternal:       {"drop_internal", "packets", "packets dropped because of a failure of the gateway itself", KindDrop},
}
