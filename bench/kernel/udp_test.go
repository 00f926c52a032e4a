package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"linecrypt/bench/pcap"
	"linecrypt/bench/topology"
)

// TestSegmentedUDPPassesAsSuperPackets has a program send UDP as QUIC servers do, 64 KiB with one call (UDP_SEGMENT). Every packet must
// arrive with its bytes, and between the gateways there are super-packets again.
func TestSegmentedUDPPassesAsSuperPackets(t *testing.T) {
	b := bedOf(t, topology.Options{Offloads: true})
	b.startA(topology.Packet)
	b.startB(topology.Packet)
	for _, f := range families {
		t.Run(string(f), func(t *testing.T) { b.in(t).segmentedUDP(f) })
	}
}

func (b *bed) segmentedUDP(f family) {
	const size, packets, rounds = 1400, 46, 200
	var client, srv *net.UDPConn
	addr, err := net.ResolveUDPAddr("udp", f.serverAddr(7400))
	b.check(err)
	b.check(b.top.Server.Do(func() error { srv, err = net.ListenUDP("udp", addr); return err }))
	defer srv.Close()
	b.check(b.top.Client.Do(func() error { client, err = net.DialUDP("udp", nil, addr); return err }))
	defer client.Close()
	b.check(srv.SetReadBuffer(1 << 20))
	b.check(srv.SetReadDeadline(time.Now().Add(patience)))
	raw, err := client.SyscallConn()
	b.check(err)
	b.check(raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }))
	b.check(err)
	sent, got := make([]byte, size*packets-300), make([]byte, 2*size) // the last is shorter
	begun := time.Now()
	for round := range rounds {
		for i := range sent {
			sent[i] = byte(i*7 + i/256 + round)
		}
		_, err := client.Write(sent)
		b.check(err)
		for rest := sent; len(rest) > 0; {
			n, err := srv.Read(got)
			if want := rest[:min(size, len(rest))]; err != nil || !bytes.Equal(got[:n], want) {
				b.t.Fatalf("round %d, %d bytes are to come: a packet of %d bytes, %v", round, len(rest), n, err)
			}
			rest = rest[n:]
		}
	}
	b.t.Logf("%d packets in %v", rounds*packets, time.Since(begun))
	b.wantLongUDP()
}

// wantLongUDP fails unless the wire had UDP in super-packets.
func (b *bed) wantLongUDP() {
	path, _, err := b.capture.Stop()
	b.check(err)
	longest, all := 0, 0
	b.check(pcap.Read(path, func(p []byte) {
		if len(p) > 24 && (binary.BigEndian.Uint16(p[12:]) == unix.ETH_P_IP && p[23] == unix.IPPROTO_UDP || p[20] == unix.IPPROTO_UDP) {
			longest, all = max(longest, len(p)), all+1
		}
	}))
	b.capture, err = b.top.Capture("wire.pcap")
	b.check(err)
	if longest < 10*1400 {
		b.t.Errorf("the longest of %d packets on the wire has %d bytes", all, longest)
	}
	b.t.Log(fmt.Sprint(all, " on the wire, the longest of ", longest, " bytes"))
}
