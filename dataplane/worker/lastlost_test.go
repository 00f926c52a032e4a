package worker

import (
	"bytes"
	"testing"

	"linecrypt/dataplane/packet"
	"linecrypt/flowtable"
)

// The last acknowledgement to the host is lost behind the gateway, so that the host sends its last data once more. Meanwhile somebody who does
// not see the traffic has sent a SYN with the connection's addresses and ports.
func TestForgedSynDoesNotLetAHostsLastDataPassInTheClear(t *testing.T) {
	for name, forged := range map[string]packet.Seg{"with ENO": peerSYN(), "without": with(peerSYN(), synOptions, nil), "none": {}} {
		t.Run(name, func(t *testing.T) {
			g := activeStages[5].at(t)
			g.wire(fromPeer(81, 81, ack|fin), g.sealedFIN(80)...)
			g.host(fromHost(1, 2, ack))
			last := fromHost(1, 2, ack|psh|fin)
			g.host(last, secret...)
			g.wire(fromPeer(102, 81+uint32(len(secret))+20+1, ack))
			g.state(flowtable.Closing)
			if name != "none" {
				forged.Seq += 1 << 20
				g.wire(forged)
			}
			for _, wait := range []int64{200 * ms, 200 * ms, 400 * ms} {
				g.later(wait)
				g.toHost, g.toWire = nil, nil
				g.host(fromHost(1+uint32(len(secret))+1, 2, ack)) // the challenge
				g.host(last, secret...)
				for _, raw := range g.toWire {
					if bytes.Contains(raw, secret) {
						t.Fatalf("the wire got %s", g.shot(outside, raw))
					}
				}
			}
		})
	}
}
