package hosts

import (
	"net/netip"
	"sync"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// MTU is that of all links.
const MTU = 1500

const (
	nic       = 1
	linkQueue = 4096 // frames
)

// Host is a TCP stack with one Ethernet interface and an address of each family, all hosts in one subnet.
type Host struct {
	Name   string
	V4, V6 netip.Addr
	Stack  *stack.Stack
	link   *channel.Endpoint
	bell   chan struct{} // rung when a frame was put on link
	once   sync.Once
}

// newHost makes host number n of its network.
func newHost(t testing.TB, name string, n byte) *Host {
	t.Helper()
	h := &Host{
		Name: name,
		V4:   netip.AddrFrom4([4]byte{10, 0, 0, n}),
		V6:   netip.AddrFrom16([16]byte{0xfd, 15: n}),
		link: channel.New(linkQueue, MTU, tcpip.LinkAddress([]byte{2, 0, 0, 0, 0, n})),
		bell: make(chan struct{}, 1),
	}
	h.link.AddNotify(h)
	// Addresses are usable at once, and nothing but the tests' traffic is on the links.
	v6 := ipv6.NewProtocolWithOptions(ipv6.Options{})
	h.Stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, v6, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	if err := h.Stack.CreateNIC(nic, ethernet.New(h.link)); err != nil {
		t.Fatalf("interface of %s: %s", name, err)
	}
	for _, a := range []netip.Addr{h.V4, h.V6} {
		pa := tcpip.ProtocolAddress{Protocol: protocolOf(a), AddressWithPrefix: tcpip.AddrFromSlice(a.AsSlice()).WithPrefix()}
		if a.Is4() {
			pa.AddressWithPrefix.PrefixLen = 24
		} else {
			pa.AddressWithPrefix.PrefixLen = 64
		}
		if err := h.Stack.AddProtocolAddress(nic, pa, stack.AddressProperties{}); err != nil {
			t.Fatalf("address %v of %s: %s", a, name, err)
		}
		h.Stack.AddRoute(tcpip.Route{Destination: pa.AddressWithPrefix.Subnet(), NIC: nic})
	}
	// Without RACK: with it, two stacks of this version without any gateway stall for good now and then when the last data
	// before a FIN are lost.
	sack, recovery := tcpip.TCPSACKEnabled(true), tcpip.TCPRecovery(0)
	for _, o := range []tcpip.SettableTransportProtocolOption{&sack, &recovery} {
		if err := h.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, o); err != nil {
			t.Fatalf("acknowledgements of %s: %s", name, err)
		}
	}
	return h
}

func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// close ends the stack with all its connections, which nobody hears of.
func (h *Host) close() {
	h.once.Do(func() {
		h.link.Close()
		h.Stack.Close()
	})
}

// Inject implements station.
func (h *Host) Inject(frame []byte) bool {
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	h.link.InjectInbound(0, pkt)
	pkt.DecRef()
	return true
}

// Collect implements station.
func (h *Host) Collect(buf []byte) (int, bool) {
	pkt := h.link.Read()
	if pkt == nil {
		return 0, false
	}
	n := 0
	for _, part := range pkt.AsSlices() {
		n += copy(buf[n:], part)
	}
	pkt.DecRef()
	return n, true
}

// Wait implements station.
func (h *Host) Wait(stop <-chan struct{}) bool {
	if h.link.NumQueued() > 0 {
		return true
	}
	select {
	case <-h.bell:
		return true
	case <-stop:
		return false
	}
}

// WriteNotify implements channel.Notification.
func (h *Host) WriteNotify() {
	select {
	case h.bell <- struct{}{}:
	default:
	}
}

// NoRetransmission keeps the host from sending anything twice within a test, so that what arrives did so at the first try.
func (h *Host) NoRetransmission(t testing.TB) {
	t.Helper()
	rto := tcpip.TCPMinRTOOption(2 * Patience)
	if err := h.Stack.SetTransportProtocolOption(tcp.ProtocolNumber, &rto); err != nil {
		t.Fatalf("retransmission of %s: %s", h.Name, err)
	}
}
