package main

import "strings"

// interesting reports whether a counter tells of something that was refused, given up, evicted or held.
func interesting(name string) bool {
	for _, prefix := range []string{"drop_", "abort_", "plain_", "refused_", "evicted_", "setup_", "flows_evicted", "handshakes_", "give", "held_", "buffers_", "far_end", "half_open", "share_", "resealed", "released"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
