package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"

	"linecrypt/bench/topology"
)

// flooder sends forged SYNs into a device: each with a source address and port of its own.
type flooder struct {
	fd     int
	addr   unix.SockaddrLinklayer
	dstMAC net.HardwareAddr
	dst    func(*rand.Rand) netip.Addr
	port   uint16
	eno    bool
	sent   atomic.Uint64
	stop   chan struct{}
	done   chan error
}

// sources is where forged addresses come from: a benchmark range (RFC 2544) that no namespace has.
var sources = netip.MustParsePrefix("198.18.0.0/15")

// newFlooder opens the socket in a namespace; the frames leave by dev, as if something at its other end had received them.
func newFlooder(ns topology.NetNS, dev string) (*flooder, error) {
	f := &flooder{stop: make(chan struct{}), done: make(chan error, 1)}
	err := ns.Do(func() error {
		ifc, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		f.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		f.addr = unix.SockaddrLinklayer{Ifindex: ifc.Index, Halen: 6}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("flooder: %w", err)
	}
	return f, nil
}

// start sends rate SYNs a second until end is called. What cannot be sent in time is sent later, as fast as it goes.
func (f *flooder) start(rate int) {
	go func() {
		rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
		begin := time.Now()
		for {
			select {
			case <-f.stop:
				f.done <- nil
				return
			default:
			}
			due := uint64(time.Since(begin).Seconds() * float64(rate))
			for f.sent.Load() < due {
				if err := f.send(rng); err != nil {
					f.done <- err
					return
				}
				f.sent.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	}()
}

// end stops the flood and returns how many SYNs went out.
func (f *flooder) end() (uint64, error) {
	close(f.stop)
	err := <-f.done
	return f.sent.Load(), errors.Join(err, unix.Close(f.fd))
}

// SYN options as Linux sends them: MSS, SACK permitted, timestamps, window scale; then ENO with two TEPs, without and with which the
// options fill whole words.
var (
	synOptions = []byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7}
	enoOption  = []byte{69, 4, 0x21, 0x23}
)

func (f *flooder) send(rng *rand.Rand) error {
	options := synOptions
	if f.eno {
		options = append(append([]byte(nil), synOptions...), enoOption...)
	}
	const eth = header.EthernetMinimumSize
	ipLen := header.IPv4MinimumSize + header.TCPMinimumSize + len(options)
	b := make([]byte, eth+ipLen)
	copy(b, f.dstMAC)
	copy(b[6:], []byte{2, 0, 0, 0, 0, 9})
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	src := sources.Addr().As4()
	binary.BigEndian.PutUint32(src[:], binary.BigEndian.Uint32(src[:])|rng.Uint32N(1<<17))
	from, to := tcpip.AddrFrom4(src), tcpip.AddrFrom4(f.dst(rng).As4())
	ip := header.IPv4(b[eth:])
	ip.Encode(&header.IPv4Fields{TotalLength: uint16(ipLen), TTL: 60, Protocol: unix.IPPROTO_TCP, SrcAddr: from, DstAddr: to, Flags: header.IPv4FlagDontFragment})
	ip.SetChecksum(^ip.CalculateChecksum())
	tcp := header.TCP(b[eth+header.IPv4MinimumSize:])
	tcp.Encode(&header.TCPFields{SrcPort: uint16(1024 + rng.IntN(60000)), DstPort: f.port, SeqNum: rng.Uint32(), DataOffset: uint8(len(tcp)),
		Flags: header.TCPFlagSyn, WindowSize: 64240})
	copy(tcp[header.TCPMinimumSize:], options)
	sum := header.PseudoHeaderChecksum(unix.IPPROTO_TCP, from, to, uint16(len(tcp)))
	tcp.SetChecksum(^checksum.Checksum(tcp, sum))
	err := unix.Sendto(f.fd, b, 0, &f.addr)
	if errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.EAGAIN) {
		return nil // the device is full: a flood loses some
	}
	return err
}
