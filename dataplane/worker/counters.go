package worker

// Counter names what the worker itself counts; what the translator counts is in package stream.
type Counter uint8

// The counters. The order is part of the shared-memory contract.
const (
	RxInsidePackets Counter = iota
	RxInsideBytes
	RxOutsidePackets
	RxOutsideBytes
	TxInsidePackets
	TxInsideBytes
	TxOutsidePackets
	TxOutsideBytes
	PassedPackets
	FlowsOpened
	FlowsEncrypted
	FlowsFallback
	FlowsEvicted
	ControlRequests
	ControlRetries
	ControlLost
	IdlePolls
	BusyPolls
	DropMalformed
	DropFragment
	DropChecksum
	DropOptions
	DropTxFull
	DropHeld
	DropPolicy
	DropTableFull
	DropNoBlock
	DropHandshake
	DropBuild
	DropClosing
	DropSuperPacket
	DropRxNoBuffer
	DropRxMissed
	DropTxError
	NumCounters
)

// CounterInfo is a counter's name, as metrics and `linecrypt status` show it, its unit and what it says.
type CounterInfo struct{ Name, Unit, Help string }

var counterInfos = [NumCounters]CounterInfo{
	RxInsidePackets:  {"rx_inside_packets", "packets", "packets received on the inside port"},
	RxInsideBytes:    {"rx_inside_bytes", "bytes", "bytes received on the inside port, link layer included"},
	RxOutsidePackets: {"rx_outside_packets", "packets", "packets received on the outside port"},
	RxOutsideBytes:   {"rx_outside_bytes", "bytes", "bytes received on the outside port, link layer included"},
	TxInsidePackets:  {"tx_inside_packets", "packets", "packets sent on the inside port"},
	TxInsideBytes:    {"tx_inside_bytes", "bytes", "bytes sent on the inside port, link layer included"},
	TxOutsidePackets: {"tx_outside_packets", "packets", "packets sent on the outside port"},
	TxOutsideBytes:   {"tx_outside_bytes", "bytes", "bytes sent on the outside port, link layer included"},
	PassedPackets:    {"passed_packets", "packets", "packets passed through untouched"},
	FlowsOpened:      {"flows_opened", "events", "TCP connections seen to open"},
	FlowsEncrypted:   {"flows_encrypted", "events", "connections that became encrypted"},
	FlowsFallback:    {"flows_fallback", "events", "connections that were to be encrypted and fell back to plain TCP"},
	FlowsEvicted:     {"flows_evicted", "events", "plain connections forgotten because the table was full"},
	ControlRequests:  {"control_requests", "events", "questions asked of the control plane"},
	ControlRetries:   {"control_retries", "events", "questions asked again because no answer came"},
	ControlLost:      {"control_lost", "events", "messages to the control plane for which the ring had no room"},
	IdlePolls:        {"idle_polls", "events", "polls of both ports that found nothing"},
	BusyPolls:        {"busy_polls", "events", "polls that found work"},
	DropMalformed:    {"drop_malformed", "packets", "packets whose lengths contradict each other"},
	DropFragment:     {"drop_fragment", "packets", "IP fragments between hosts with an encrypted connection"},
	DropChecksum:     {"drop_checksum", "packets", "segments of encrypted connections with a wrong checksum"},
	DropOptions:      {"drop_options", "packets", "segments of encrypted connections with malformed TCP options"},
	DropTxFull:       {"drop_tx_full", "packets", "packets the transmitting port had no room for"},
	DropHeld:         {"drop_held", "packets", "retransmissions of a segment that is held during connection set-up"},
	DropPolicy:       {"drop_policy", "packets", "segments that policy require does not let pass in the clear"},
	DropTableFull:    {"drop_table_full", "packets", "segments refused because the flow table is full and policy is require"},
	DropNoBlock:      {"drop_no_block", "events", "connections left plain or refused because too many were being set up"},
	DropHandshake:    {"drop_handshake", "packets", "segments that have no place in the state of their connection set-up"},
	DropBuild:        {"drop_build", "packets", "segments that could not be built for want of a buffer or of room in it"},
	DropClosing:      {"drop_closing", "packets", "stragglers of connections that are over"},
	DropSuperPacket:  {"drop_super_packet", "packets", "packets larger than a buffer: segmentation offload is on at their sender"},
	DropRxNoBuffer:   {"drop_rx_no_buffer", "packets", "packets lost at a port because no buffer was free"},
	DropRxMissed:     {"drop_rx_missed", "packets", "packets lost at a port because the worker was too slow"},
	DropTxError:      {"drop_tx_error", "packets", "packets that the kernel or the device refused to send"},
}

// Info returns the counter's name, unit and help text.
func (c Counter) Info() CounterInfo {
	if c < NumCounters {
		return counterInfos[c]
	}
	return CounterInfo{Name: "invalid"}
}

// String returns the counter's name.
func (c Counter) String() string { return c.Info().Name }

// Stage is a station of the pipeline with a cycle counter.
type Stage uint8

// The stages in the order in which a packet passes them.
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

// StageCount is the time a stage took and the packets it took it for.
type StageCount struct {
	Cycles  uint64 // of the time-stamp counter
	Packets uint64
}
