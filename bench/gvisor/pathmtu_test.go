package gvisor

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"linecrypt/bench/hosts"
)

// router is a hop of the wire towards the server that takes IPv4 packets of at most mtu bytes, once it is narrow, and tells senders of
// others so as often as it likes.
type router struct {
	n      *hosts.Network
	mtu    int
	narrow atomic.Bool
	errors atomic.Int32 // that it still sends
	lost   atomic.Int32
}

func (r *router) see(d hosts.Direction, frame []byte) bool {
	if !r.narrow.Load() || d != hosts.ToServer || len(frame)-14 <= r.mtu {
		return true
	}
	r.lost.Add(1)
	if r.errors.Add(-1) >= 0 {
		r.n.A.Inject(fragmentationNeeded(frame, r.mtu))
	}
	return false
}

// fragmentationNeeded is the ICMP error about an Ethernet frame (RFC 1191), which seems to come from the address 192.0.2.1.
func fragmentationNeeded(frame []byte, mtu int) []byte {
	about := frame[14 : 14+28]
	b := make([]byte, 14+20+8+len(about))
	copy(b, frame[6:12])
	copy(b[6:], frame[:6])
	copy(b[12:], frame[12:14])
	ip := header.IPv4(b[14:])
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(len(ip)), TTL: 64, Protocol: uint8(header.ICMPv4ProtocolNumber)})
	copy(ip[12:], []byte{192, 0, 2, 1})
	copy(ip[16:], about[12:16])
	ip.SetChecksum(^ip.CalculateChecksum())
	icmp := ip[20:]
	icmp[0], icmp[1] = 3, 4
	binary.BigEndian.PutUint16(icmp[6:], uint16(mtu))
	copy(icmp[8:], about)
	binary.BigEndian.PutUint16(icmp[2:], ^checksum.Checksum(icmp, 0))
	return b
}

// TestOneErrorOfARouterServesTheFlowsOfAllWorkers narrows the path under many uploads whose router tells of it once. By the address
// of that router the error reaches a worker that need not have the flow.
func TestOneErrorOfARouterServesTheFlowsOfAllWorkers(t *testing.T) {
	const flows, size = 12, 200_000
	r := &router{mtu: 1200}
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"workers.count": "2"}, Wire: hosts.Impairment{Edit: r.see}})
	r.n = n
	l := n.Listen(t, hosts.IPv4)
	r.errors.Store(1)
	var wg sync.WaitGroup
	for i := range flows {
		client, server := n.Connect(t, l)
		if i == flows-1 {
			r.narrow.Store(true)
		}
		wg.Go(func() {
			if err := exchange(client, server, size, 1000, 100_000); err != nil {
				t.Error(err)
			}
			client.Close()
			server.Close()
		})
	}
	wg.Wait()
	if r.lost.Load() == 0 || n.A.Count(t, "icmp_translated") != 1 {
		t.Errorf("%d packets were too long, %d errors translated", r.lost.Load(), n.A.Count(t, "icmp_translated"))
	}
	for i, learned := range n.A.Shares(t, "path_mtu_learned") {
		if learned != 1 {
			t.Errorf("worker %d learnt of the path %d times", i, learned)
		}
	}
}
