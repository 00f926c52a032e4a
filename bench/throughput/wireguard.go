package main

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"linecrypt/bench/topology"
)

// Addresses of the tunnel's ends on the devices between them.
const (
	wireguardA, wireguardB = "10.98.0.1", "10.98.0.2"
	wireguardPort          = 51820
)

// wireguardMTU is what a packet may have inside of a tunnel over devices of 1500 bytes.
const wireguardMTU = "1420"

// tunnel is a wireguard-go in a gateway's place. It routes where a gateway passes packets through, so its namespace answers for the far
// host's address.
type tunnel struct {
	ns            topology.NetNS
	device        string // its name, and that of its socket, which all namespaces share
	local, remote string // addresses outside
	near, far     string // hosts
	key           *ecdh.PrivateKey
	cmd           *exec.Cmd
}

// startWireguard puts a wireguard-go into each gateway's place.
func (b *bench) startWireguard() (func() error, error) {
	ends := []*tunnel{
		{ns: b.top.A, device: "lc-wg-a", local: wireguardA, remote: wireguardB, near: topology.Client4, far: topology.Server4},
		{ns: b.top.B, device: "lc-wg-b", local: wireguardB, remote: wireguardA, near: topology.Server4, far: topology.Client4},
	}
	stop := func() error {
		var errs []error
		for _, e := range ends {
			errs = append(errs, e.stop())
		}
		return errors.Join(append(errs, b.hosts("1500"))...)
	}
	err := b.hosts(wireguardMTU)
	for _, e := range ends {
		if err == nil {
			e.key, err = ecdh.X25519().GenerateKey(rand.Reader)
		}
	}
	for i, e := range ends {
		if err == nil {
			err = e.start(b.top.Bin(), ends[1-i].key.PublicKey())
		}
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

// hosts sets the MTU of the hosts, so that no packet has to be refused by a tunnel, and has them look anew for whom they talk to, which is a
// tunnel's end or the other host.
func (b *bench) hosts(mtu string) error {
	var errs []error
	for _, ns := range []topology.NetNS{b.top.Client, b.top.Server} {
		for _, args := range [][]string{{"link", "set", "dev", topology.Host, "mtu", mtu}, {"neigh", "flush", "dev", topology.Host}} {
			_, err := ns.Run("ip", args...)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (t *tunnel) start(bin string, peer *ecdh.PublicKey) error {
	t.cmd = t.ns.Command(context.Background(), filepath.Join(bin, "wireguard-go"), "-f", t.device)
	t.cmd.Env = append(os.Environ(), "LOG_LEVEL=error")
	var said strings.Builder
	t.cmd.Stdout, t.cmd.Stderr = &said, &said
	if err := t.cmd.Start(); err != nil {
		t.cmd = nil
		return err
	}
	if err := t.configure(peer); err != nil {
		return fmt.Errorf("%w; it said: %s", err, said.String())
	}
	for _, args := range [][]string{
		{"ip", "addr", "add", t.local + "/24", "dev", topology.Outside},
		{"ip", "link", "set", "dev", t.device, "mtu", wireguardMTU, "up"},
		{"ip", "route", "add", t.far + "/32", "dev", t.device},
		{"ip", "route", "add", t.near + "/32", "dev", topology.Inside},
		{"sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf." + topology.Inside + ".proxy_arp=1"},
	} {
		if _, err := t.ns.Run(args[0], args[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// configure tells the program its keys and its peer, by the socket that it makes.
func (t *tunnel) configure(peer *ecdh.PublicKey) error {
	var conn net.Conn
	var err error
	for end := time.Now().Add(topology.Patience); ; time.Sleep(20 * time.Millisecond) {
		if conn, err = net.Dial("unix", "/var/run/wireguard/"+t.device+".sock"); err == nil {
			break
		}
		if time.Now().After(end) {
			return err
		}
	}
	defer conn.Close()
	fmt.Fprintf(conn, "set=1\nprivate_key=%x\nlisten_port=%d\npublic_key=%x\nendpoint=%s:%d\nallowed_ip=0.0.0.0/0\n\n",
		t.key.Bytes(), wireguardPort, peer.Bytes(), t.remote, wireguardPort)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && answer != "errno=0\n" {
		err = errors.New("it answers " + answer)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("configure %s: %w", t.device, err)
	}
	return nil
}

func (t *tunnel) stop() error {
	if t.cmd == nil {
		return nil
	}
	_ = t.cmd.Cancel()
	_ = t.cmd.Wait() // it was killed
	_ = os.Remove("/var/run/wireguard/" + t.device + ".sock")
	var errs []error
	for _, args := range [][]string{
		{"ip", "addr", "flush", "dev", topology.Outside},
		{"ip", "route", "flush", "dev", topology.Inside},
		{"sysctl", "-qw", "net.ipv4.ip_forward=0", "net.ipv4.conf." + topology.Inside + ".proxy_arp=0"},
	} {
		_, err := t.ns.Run(args[0], args[1:]...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
