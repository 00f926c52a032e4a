package stream

// Counter names what is counted per core: drops by reason, reasons for aborts and events. Every segment that is not passed
// on is counted under one of them.
type Counter uint8

// The counters. The order is part of the shared-memory contract.
const (
	CountNone Counter = iota
	SealedFrames
	SealedBytes
	OpenedFrames
	OpenedBytes
	ResentFrames
	OwnResent
	RedeliveredFrames
	CustodyFrames
	CustodyResent
	AbsorbedAcks
	OwnAcks
	StoredSegments
	Rekeys
	DropEgressGap
	DropEgressWindow
	DropEgressPool
	DropEgressLimit
	DropEgressRoom
	DropEgressBehindFin
	DropEgressOld
	DropEgressSeal
	DropEgressAck
	DropIngressAck
	DropIngressOld
	DropIngressWindow
	DropIngressLimit
	DropIngressPool
	DropIngressAuth
	DropIngressBehindFailure
	DropIngressRekey
	DropIngressRST
	DropNoKeys
	DropClosed
	DropNoOutput
	AbortAuth
	AbortFinWithoutFinp
	AbortBehindFinp
	AbortMalformed
	AbortInit
	AbortOwnTimeout
	AbortCustodyTimeout
	AbortSeal
	AbortKeys
	AbortCaller
	NumCounters
)

// CounterInfo is a counter's name, as metrics and `linecrypt status` show it, and what it says.
type CounterInfo struct{ Name, Help string }

var counterInfos = [NumCounters]CounterInfo{
	CountNone:                {"none", "nothing"},
	SealedFrames:             {"sealed_frames", "frames sealed"},
	SealedBytes:              {"sealed_bytes", "plaintext bytes sealed"},
	OpenedFrames:             {"opened_frames", "frames opened and authenticated"},
	OpenedBytes:              {"opened_bytes", "plaintext bytes opened"},
	ResentFrames:             {"resent_frames", "kept frames sent again because the host retransmitted"},
	OwnResent:                {"own_resent", "messages and frames of the gateway's own sent again"},
	RedeliveredFrames:        {"redelivered_frames", "frames opened and delivered again"},
	CustodyFrames:            {"custody_frames", "frames that spanned segments and were acknowledged by the gateway"},
	CustodyResent:            {"custody_resent", "segments of frames in custody sent again to the host"},
	AbsorbedAcks:             {"absorbed_acks", "acknowledgements that say nothing new on the other side and were not passed on"},
	OwnAcks:                  {"own_acks", "acknowledgements made by the gateway"},
	StoredSegments:           {"stored_segments", "segments kept because bytes before them were missing"},
	Rekeys:                   {"rekeys", "key generations begun, both directions"},
	DropEgressGap:            {"drop_egress_gap", "host segments behind bytes that were not seen, which were not kept or were kept already"},
	DropEgressWindow:         {"drop_egress_window", "host segments that do not fit in the far end's window"},
	DropEgressPool:           {"drop_egress_pool", "host segments dropped because packet buffers are low"},
	DropEgressLimit:          {"drop_egress_limit", "host segments dropped because the flow has too much unacknowledged"},
	DropEgressRoom:           {"drop_egress_room", "host segments whose buffer has no room for a frame's overhead"},
	DropEgressBehindFin:      {"drop_egress_behind_fin", "host segments with data behind their FIN"},
	DropEgressOld:            {"drop_egress_old", "host segments with acknowledged bytes only; answered by an acknowledgement"},
	DropEgressSeal:           {"drop_egress_seal", "host segments that could not be sealed"},
	DropEgressAck:            {"drop_egress_ack", "host segments that acknowledge what was never sent"},
	DropIngressAck:           {"drop_ingress_ack", "wire segments that acknowledge what was never sent"},
	DropIngressOld:           {"drop_ingress_old", "wire segments with acknowledged bytes only; answered by an acknowledgement"},
	DropIngressWindow:        {"drop_ingress_window", "wire segments outside of the window"},
	DropIngressLimit:         {"drop_ingress_limit", "wire segments dropped because too much is stored"},
	DropIngressPool:          {"drop_ingress_pool", "wire segments dropped because packet buffers are low"},
	DropIngressAuth:          {"drop_ingress_auth", "frames that failed authentication"},
	DropIngressBehindFailure: {"drop_ingress_behind_failure", "frames dropped because one before them failed authentication"},
	DropIngressRekey:         {"drop_ingress_rekey", "rekeying frames dropped because the last rekeying is unfinished"},
	DropIngressRST:           {"drop_ingress_rst", "wire RSTs outside of the window"},
	DropNoKeys:               {"drop_no_keys", "host segments before keys were in place"},
	DropClosed:               {"drop_closed", "segments of connections that are reset"},
	DropNoOutput:             {"drop_no_output", "work put off because the output was full"},
	AbortAuth:                {"abort_auth", "connections aborted because frames failed authentication"},
	AbortFinWithoutFinp:      {"abort_fin_without_finp", "connections aborted because the wire ended without an authenticated end"},
	AbortBehindFinp:          {"abort_behind_finp", "connections aborted because bytes followed the last frame"},
	AbortMalformed:           {"abort_malformed", "connections aborted because of a malformed frame"},
	AbortInit:                {"abort_init", "connections aborted because of a malformed Init message"},
	AbortOwnTimeout:          {"abort_own_timeout", "connections aborted because the far end never acknowledged a message of the gateway"},
	AbortCustodyTimeout:      {"abort_custody_timeout", "connections aborted because the host never acknowledged a frame in custody"},
	AbortSeal:                {"abort_seal", "connections aborted because a frame could not be sealed"},
	AbortKeys:                {"abort_keys", "connections aborted because keys could not be set up"},
	AbortCaller:              {"abort_caller", "connections aborted by the worker or the control plane"},
}

// Info returns the counter's name and help text.
func (c Counter) Info() CounterInfo {
	if c < NumCounters {
		return counterInfos[c]
	}
	return CounterInfo{"invalid", ""}
}

// String returns the counter's name.
func (c Counter) String() string { return c.Info().Name }
