// Package trouble says which counters of the data plane mean that something is lost or wrong, and what its owner can do about it. Most drops are
// none: a segment that is old, forged or of a connection that is over is dropped on purpose.
package trouble

// advice says what to do, by the name of a counter.
var advice = map[string]string{
	"drop_rx_missed":        "a worker is too slow: give each a core of its own (workers.cores), add workers, or set workers.poll: busy",
	"drop_spread_full":      "a worker is too slow: give each a core of its own (workers.cores), or use ports with a queue for each",
	"drop_handover":         "a worker is too slow: give each a core of its own (workers.cores)",
	"drop_tx_full":          "a port sends more slowly than the gateway has to send: look at its link, and at what it shares a core with",
	"drop_tx_error":         "the kernel or the device refuses packets: look at the port's link and MTU, and at the log",
	"drop_no_buffer":        "raise buffers.memory",
	"drop_own_no_buffer":    "raise buffers.memory",
	"drop_rx_no_buffer":     "raise buffers.memory",
	"drop_egress_pool":      "raise buffers.memory",
	"drop_ingress_pool":     "raise buffers.memory",
	"drop_egress_limit":     "raise retransmit.flow_bytes or buffers.memory, if the round trip is long",
	"drop_ingress_limit":    "raise reassembly.flow_bytes, if the network loses or reorders much",
	"drop_super_packet":     "a sender's segmentation offload is on: run the line that the log has",
	"drop_too_long":         "the two ports have different MTUs: make them the same",
	"drop_rx_truncated":     "frames come damaged or too long: look at the port's MTU and at what is at its other end",
	"drop_checksum":         "segments come damaged, or with checksums that were left to a NIC: look at the sender's offloads",
	"drop_fragment":         "hosts send TCP in IP fragments: let path MTU discovery work",
	"drop_table_full":       "raise flows.max",
	"plain_table_full":      "raise flows.max: connections go in the clear because there is no place for them",
	"refused_table_full":    "raise flows.max: connections are refused because there is no place for them",
	"drop_half_open":        "raise handshake.half_open",
	"drop_ingress_auth":     "frames come changed: somebody, or something, changes data on the way",
	"drop_internal":         "this should not happen: please tell us, with what `linecrypt trace` shows",
	"drop_egress_seal":      "this should not happen: please tell us",
	"abort_auth":            "connections were reset because data was changed on the way",
	"abort_mismatch":        "a peer has other session IDs: somebody is in the middle",
	"abort_far_end_timeout": "far ends stopped to answer: look at the path to them",
	"plain_control_away":    "connections went in the clear because the control plane was away: look at its log",
	"plain_control_late":    "connections went in the clear because key exchanges took too long: the control plane needs CPU",
	"refused_control_away":  "connections were refused because the control plane was away: look at its log",
	"refused_control_late":  "connections were refused because key exchanges took too long: the control plane needs CPU",
	"overload_keys_full":    "more key exchanges are asked for than the control plane has CPU for",
	"overload_keys_late":    "more key exchanges are asked for than the control plane has CPU for",
	"unfinished_checksums":  "a sender leaves checksums to a NIC that is not there: turn its tx offload off",
}

// Advice returns what to do about a counter that has grown, and false where that is no trouble. Name is that of package shm's table.
func Advice(name string) (string, bool) {
	text, ok := advice[name]
	return text, ok
}

// Names returns the counters that mean trouble.
func Names() (names []string) {
	for name := range advice {
		names = append(names, name)
	}
	return names
}
