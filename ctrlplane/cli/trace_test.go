package cli

import (
	"strings"
	"testing"
	"time"

	"linecrypt/ctrlplane/server"
)

func TestTraceLinesSayWhatHappened(t *testing.T) {
	no := false
	at := time.Date(2026, 11, 29, 1, 2, 3, 4000, time.UTC)
	for _, c := range []struct {
		line server.TraceLine
		want string
	}{
		{server.TraceLine{Station: "rx", Packet: 3, Worker: 1, Time: at, Port: "inside", Src: "10.0.0.1:1", Dst: "10.0.0.2:80", Proto: 6, Flags: "P.", Seq: 5, Ack: 6, Window: 7, Length: 8, Options: []string{"eno"}},
			"\npacket 3, worker 1, 01:02:03.000004\n  rx         inside   10.0.0.1:1 > 10.0.0.2:80 [P.] seq 5 ack 6 win 7, 8 bytes of data, eno\n"},
		{server.TraceLine{Station: "tx", Port: "outside", Src: "10.0.0.1", Dst: "10.0.0.2", Proto: 1, Size: 98, VLAN: 3<<12 | 4, Packet: 1},
			"  tx         outside  10.0.0.1 > 10.0.0.2, VLAN 3.4, protocol 1, 98 bytes\n"},
		{server.TraceLine{Station: "tx", Port: "outside", Src: "10.0.0.1", Dst: "10.0.0.2", Proto: 17, Size: 98, VLAN: 4},
			"* tx         outside  10.0.0.1 > 10.0.0.2, VLAN 4, protocol 17, 98 bytes\n"},
		{server.TraceLine{Station: "verdict", State: "unknown to the table", Packet: 1}, "  verdict    unknown to the table\n"},
		{server.TraceLine{Station: "open", Length: 9, OK: &no, Packet: 1}, "  open       9 bytes of ciphertext: FAILED, its tag is wrong\n"},
		{server.TraceLine{Station: "count", Counter: "drop_checksum", Help: "wrong checksum", Number: 1, Packet: 1}, "  count      DROPPED as drop_checksum: wrong checksum\n"},
		{server.TraceLine{Station: "count", Counter: "own_acks", Number: 2, Packet: 1}, "  count      own_acks +2\n"},
		{server.TraceLine{Worker: 2, Lost: 17}, "worker 2: 17 events were overwritten before they were read\n"},
	} {
		var out strings.Builder
		if err := printTraceLine(&out, &c.line); err != nil || out.String() != c.want {
			t.Errorf("%v\n%q, not\n%q", err, out.String(), c.want)
		}
	}
}
