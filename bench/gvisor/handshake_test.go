package gvisor

import (
	"encoding/binary"
	"io"
	"testing"
	"time"

	"linecrypt/bench/hosts"
)

func TestENOIsInSYNAndSYNACKAndFirstACK(t *testing.T) {
	n := hosts.New(t, hosts.Options{})
	wire, near, far := watch(n.Wire), watch(n.Near), watch(n.Far)
	client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
	mustBeEncrypted(t, n, client)
	for _, c := range []struct {
		name     string
		dir      hosts.Direction
		syn, ack bool
	}{
		{"SYN", hosts.ToServer, true, false},
		{"SYN-ACK", hosts.ToClient, true, true},
		{"first ACK", hosts.ToServer, false, true},
	} {
		is := func(s seen) bool { return s.dir == c.dir && s.syn == c.syn && s.ack == c.ack }
		if s, ok := wire.find(is); !ok || !s.eno {
			t.Errorf("%s on the wire: seen %v, with ENO %v", c.name, ok, s.eno)
		}
	}
	mustExchange(t, client, server, 10, 10, 10)
	for _, inside := range []*wireWatch{near, far} {
		if k := inside.count(func(s seen) bool { return s.eno }); k > 0 {
			t.Errorf("%d segments with ENO on an inside link", k)
		}
	}
}

func TestHostsAreToldAnMSSWithRoomForAFrame(t *testing.T) {
	for family, want := range map[hosts.Family]uint16{hosts.IPv4: 1460 - 20, hosts.IPv6: 1440 - 20} {
		n := hosts.New(t, hosts.Options{})
		near, far := watch(n.Near), watch(n.Far)
		client, _ := n.Connect(t, n.Listen(t, family))
		mustBeEncrypted(t, n, client)
		for _, c := range []struct {
			link *wireWatch
			dir  hosts.Direction
		}{{far, hosts.ToServer}, {near, hosts.ToClient}} {
			s, ok := c.link.find(func(s seen) bool { return s.dir == c.dir && s.syn })
			if !ok || len(s.mss) != 2 || binary.BigEndian.Uint16(s.mss) != want {
				t.Errorf("IPv%d: the SYN towards %v has an MSS of %x, want %d", family, c.dir, s.mss, want)
			}
		}
	}
}

func TestServerThatSpeaksFirstIsHeardWithoutARetransmission(t *testing.T) {
	n := hosts.New(t, hosts.Options{Both: hosts.Settings{"handshake.retransmit": "1m", "handshake.timeout": "5m"}})
	n.Client.NoRetransmission(t)
	n.Server.NoRetransmission(t)
	const banner = "220 ready when you are\r\n"
	for range 20 {
		l := n.Listen(t, hosts.IPv4)
		go func() {
			if c, err := l.Accept(); err == nil {
				_, _ = io.WriteString(c, banner)
			}
		}()
		client, err := dial(n, l)
		if err != nil {
			t.Fatal(err)
		}
		_ = client.SetDeadline(time.Now().Add(hosts.Patience))
		b := make([]byte, len(banner))
		if _, err := io.ReadFull(client, b); err != nil || string(b) != banner {
			t.Fatalf("the banner arrives as %q: %v", b, err)
		}
		mustBeEncrypted(t, n, client)
		client.Close()
		l.Close()
	}
}

func TestApplicationAwareBit(t *testing.T) {
	for _, c := range []struct {
		a, b      string
		encrypted bool
	}{
		{"mandatory", "mandatory", true},
		{"mandatory", "on", true},
		{"on", "mandatory", true},
		{"on", "off", true},
		{"off", "on", true},
		{"mandatory", "off", false},
		{"off", "mandatory", false},
	} {
		t.Run(c.a+" and "+c.b, func(t *testing.T) {
			n := hosts.New(t, hosts.Options{A: hosts.Settings{"application_aware": c.a}, B: hosts.Settings{"application_aware": c.b}})
			client, server := n.Connect(t, n.Listen(t, hosts.IPv4))
			if c.encrypted {
				mustBeEncrypted(t, n, client)
			} else {
				mustBePlain(t, n, client)
			}
			mustExchange(t, client, server, 5000, 5000, 5000)
		})
	}
}
