package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"linecrypt/bench/pcap"
	"linecrypt/bench/topology"
	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/policy"
)

// syn is what a capture shows of a SYN or SYN-ACK.
type syn struct {
	ack, eno   bool
	cookie     int // bytes of the TCP Fast Open option, -1 without one
	data       int
	kinds      []byte // of the options
	timestamps bool
}

// syns reads the SYN segments towards or from a port out of a capture.
func (b *bed) syns(c *topology.Capture, port uint16) (list []syn) {
	b.t.Helper()
	path, _, err := c.Stop()
	if err != nil {
		b.t.Fatal(err)
	}
	b.check(pcap.Read(path, func(packet []byte) {
		if tcp := topology.TCP(packet); tcp != nil && tcp.Flags()&header.TCPFlagSyn != 0 && (tcp.SourcePort() == port || tcp.DestinationPort() == port) {
			s := syn{ack: tcp.Flags()&header.TCPFlagAck != 0, cookie: -1, data: len(tcp.Payload())}
			for o := tcp.Options(); len(o) > 1 && o[0] != 0; {
				s.kinds = append(s.kinds, o[0])
				n := 1
				if o[0] != 1 {
					n = max(int(o[1]), 2)
				}
				if o[0] == 34 {
					s.cookie = n - 2
				}
				o = o[min(n, len(o)):]
			}
			s.timestamps = bytes.Contains(s.kinds, []byte{8})
			_, err := eno.FindSYN(tcp.Options())
			s.eno = err == nil
			list = append(list, s)
		}
	}))
	b.check(os.Remove(path))
	return list
}

// TestFastOpenOfLinuxHostsIsTakenOutWhereConnectionsAreEncrypted has all SYN options of Linux switched on: what the client's kernel sends,
// and what is on the wire, is shown by a capture of each. Where the client has a cookie, that and the data do not go out in a SYN with ENO, the
// data follows encrypted, and the connection resumes all the same. Where nothing is encrypted both pass as they are; there alone cookies are
// given.
func TestFastOpenOfLinuxHostsIsTakenOutWhereConnectionsAreEncrypted(t *testing.T) {
	b := newBed(t)
	const encrypted, plain = 7001, 7002
	b.startA(topology.Packet, fmt.Sprintf("rules=[{name: plain, ports: [%d], policy: off}]", plain))
	b.startB(topology.Packet)
	for _, ns := range []topology.NetNS{b.top.Client, b.top.Server} {
		b.sysctl(ns, "net/ipv4/tcp_fastopen", "3")
		b.sysctl(ns, "net/ipv4/tcp_fastopen_blackhole_timeout_sec", "0")
	}
	for _, c := range []struct {
		port    int
		resumed bool // the second connection and those behind it
		rule    string
		verdict policy.Verdict
	}{{plain, false, "plain", policy.Off}, {encrypted, true, "default", policy.Encrypted}} {
		l, err := b.top.Server.Listen(fmt.Sprintf("%s:%d", topology.Server4, c.port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		raw, err := l.SyscallConn()
		b.check(err)
		b.check(errors.Join(raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN, 16)
		}), err))
		var ids []string
		for i := range 3 {
			inside, err := b.top.CaptureAt(b.top.A, topology.Inside, "inside.pcap")
			if err != nil {
				t.Fatal(err)
			}
			outside, err := b.top.CaptureAt(b.top.Wire, topology.WireA, "outside.pcap")
			if err != nil {
				t.Fatal(err)
			}
			client := b.openFast(l)
			if s, listed := b.session(b.a, client); listed {
				ids = append(ids, s.SessionID)
				if s.Resumed != (c.resumed && i > 0) {
					t.Errorf("port %d, connection %d: %+v", c.port, i, s)
				}
			}
			client.Close()
			in, out := b.syns(inside, uint16(c.port)), b.syns(outside, uint16(c.port))
			t.Logf("port %d, connection %d: inside %+v, on the wire %+v", c.port, i, in, out)
			if len(in) < 2 || len(out) < 2 {
				t.Fatalf("port %d, connection %d: inside %+v, on the wire %+v", c.port, i, in, out)
			}
			host, wire := in[0], out[0]
			// The first one of all asks for a cookie, which serves the address, and those behind it have it, and data.
			if first := c.port == plain && i == 0; first != (host.cookie == 0) || first != (host.data == 0) || !host.timestamps {
				t.Errorf("port %d, connection %d: the client's kernel sends %+v", c.port, i, host)
			}
			same := wire.cookie == host.cookie && wire.data == host.data && !wire.eno
			taken := wire.cookie <= 0 && wire.data == 0 && wire.eno && wire.timestamps && out[1].cookie <= 0
			if c.verdict == policy.Off && !same || c.verdict == policy.Encrypted && !taken {
				t.Errorf("port %d, connection %d: the SYN %+v is %+v on the wire", c.port, i, host, wire)
			}
		}
		if want := map[policy.Verdict]int{policy.Off: 0, policy.Encrypted: 3}[c.verdict]; len(ids) != want {
			t.Errorf("port %d: sessions %v", c.port, ids)
		}
	}
}

// openFast opens a connection with data in its SYN where the kernel has a cookie, and talks.
func (b *bed) openFast(l *net.TCPListener) *net.TCPConn {
	b.t.Helper()
	var conn net.Conn
	b.check(b.top.Client.Do(func() (err error) {
		d := net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) (err error) {
			return errors.Join(c.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT, 1)
			}), err)
		}}
		conn, err = d.Dial("tcp4", l.Addr().String())
		return err
	}))
	if conn == nil {
		b.t.FailNow()
	}
	client := conn.(*net.TCPConn)
	b.t.Cleanup(func() { client.Close() })
	// With a cookie the SYN goes out now.
	hello := bytes.Repeat([]byte("fast open "), 30)
	deadline := time.Now().Add(patience)
	b.check(errors.Join(client.SetDeadline(deadline), l.SetDeadline(deadline)))
	_, err := client.Write(hello)
	b.check(err)
	srv, err := l.AcceptTCP()
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { srv.Close() })
	b.check(srv.SetDeadline(deadline))
	got := make([]byte, len(hello))
	if _, err := io.ReadFull(srv, got); err != nil || !bytes.Equal(got, hello) {
		b.t.Errorf("the server reads %q, %v", got, err)
	}
	b.check(exchange(client, srv, 10_000, 10_000, false))
	return client
}

// TestConnectionWithAnMD5SignatureOfLinuxPasses: what signs the segments of the hosts themselves is left alone, and refused where policy
// requires encryption.
func TestConnectionWithAnMD5SignatureOfLinuxPasses(t *testing.T) {
	b := newBed(t)
	b.startA(topology.Packet, "rules=[{name: strict, ports: [7002], policy: require}]")
	b.startB(topology.Packet)
	sign := func(fd uintptr, addr string) error {
		sig := unix.TCPMD5Sig{Keylen: 6}
		copy(sig.Key[:], "secret")
		sig.Addr.Family = unix.AF_INET
		copy(sig.Addr.Data[2:], net.ParseIP(addr).To4())
		return unix.SetsockoptTCPMD5Sig(int(fd), unix.IPPROTO_TCP, unix.TCP_MD5SIG, &sig)
	}
	for port, rule := range map[int]outcome{7001: {rule: "default", verdict: policy.Clear}, 7002: {rule: "strict", verdict: policy.Refused}} {
		l, err := b.top.Server.Listen(fmt.Sprintf("%s:%d", topology.Server4, port))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		raw, err := l.SyscallConn()
		b.check(err)
		b.check(errors.Join(raw.Control(func(fd uintptr) { err = sign(fd, topology.Client4) }), err))
		b.wire()
		before := b.decided(b.a, rule.rule)[rule.verdict.String()]
		limit := patience
		if rule.verdict == policy.Refused {
			limit = 500 * time.Millisecond // the kernel takes no reset that is not signed, and waits
		}
		var conn net.Conn
		err = b.top.Client.Do(func() (err error) {
			d := net.Dialer{Timeout: limit, Control: func(_, _ string, c syscall.RawConn) (err error) {
				return errors.Join(c.Control(func(fd uintptr) { err = sign(fd, topology.Server4) }), err)
			}}
			conn, err = d.Dial("tcp4", l.Addr().String())
			return err
		})
		if after := b.decided(b.a, rule.rule)[rule.verdict.String()]; after == before {
			t.Errorf("port %d: rule %s has no connection more that is %v", port, rule.rule, rule.verdict)
		}
		if (err != nil) != (rule.verdict == policy.Refused) {
			t.Errorf("port %d: %v", port, err)
		}
		if err != nil {
			continue
		}
		defer conn.Close()
		srv, err := l.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		b.check(exchange(conn.(*net.TCPConn), srv, 10_000, 10_000, true))
		if w := b.wire(); w.Plaintext == 0 || w.SYNWithENO != 0 {
			t.Errorf("port %d: on the wire %+v", port, w)
		}
	}
}
