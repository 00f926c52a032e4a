package afpacket

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"linecrypt/dataplane/mbuf"
)

// slotFor builds a ring slot as the kernel would, with frame 76 bytes in.
func slotFor(frame []byte, status uint32, vnet []byte) []byte {
	slot := make([]byte, 2048)
	hdr := (*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0]))
	*hdr = unix.Tpacket2Hdr{Status: status, Len: uint32(len(frame)), Snaplen: uint32(len(frame)), Mac: 76, Net: 90}
	copy(slot[76-vnetHeader:76], vnet)
	copy(slot[76:], frame)
	return slot
}

func ringQueue(t testing.TB) *queue {
	q := &queue{cache: config(t, 1, 8).Caches[0], at: &sockets{rxFd: -1, txFd: -1, frameSize: 2048}}
	q.at.maxFrame.Store(1500 + LinkOverhead)
	return q
}

func take(q *queue, slot []byte) *mbuf.Mbuf {
	hdr := (*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0]))
	return q.take(slot, hdr, hdr.Status)
}

func TestChecksumBehindAStrippedTagIsCompletedAtItsPlace(t *testing.T) {
	q := ringQueue(t)
	frame := tcpFrame(1, 2, 1000, 80)
	pseudo := []byte{10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 20}
	binary.BigEndian.PutUint16(frame[50:], plainSum(pseudo))
	vnet := make([]byte, vnetHeader)
	vnet[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	binary.NativeEndian.PutUint16(vnet[6:], 34)
	binary.NativeEndian.PutUint16(vnet[8:], 16)
	slot := slotFor(frame[:54], unix.TP_STATUS_USER|unix.TP_STATUS_VLAN_VALID|unix.TP_STATUS_VLAN_TPID_VALID, vnet)
	hdr := (*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0]))
	hdr.Vlan_tci, hdr.Vlan_tpid = 5, unix.ETH_P_8021Q
	m := take(q, slot)
	if m == nil {
		t.Fatalf("dropped")
	}
	if string(m.Data()[12:18]) != "\x81\x00\x00\x05\x08\x00" || transportSum(m.Data()[18:]) != 0xffff {
		t.Errorf("frame %x", m.Data())
	}
}

func TestSlotThatLiesIsCountedNotFollowed(t *testing.T) {
	frame := testFrame(60, 1)
	for name, spoil := range map[string]func(h *unix.Tpacket2Hdr, vnet []byte){
		"start behind the slot":   func(h *unix.Tpacket2Hdr, _ []byte) { h.Mac = 65535 },
		"start before the header": func(h *unix.Tpacket2Hdr, _ []byte) { h.Mac = 3 },
		"length behind the slot":  func(h *unix.Tpacket2Hdr, _ []byte) { h.Snaplen, h.Len = 1<<31, 1<<31 },
		"shorter than Ethernet":   func(h *unix.Tpacket2Hdr, _ []byte) { h.Snaplen, h.Len = 13, 13 },
		"cut off":                 func(h *unix.Tpacket2Hdr, _ []byte) { h.Snaplen = 30 },
		"captured more than came": func(h *unix.Tpacket2Hdr, _ []byte) { h.Len = 20 },
		"longer than the MTU":     func(h *unix.Tpacket2Hdr, _ []byte) { h.Len = 4000 },
		"huge":                    func(h *unix.Tpacket2Hdr, _ []byte) { h.Len = 1<<32 - 1 },
	} {
		q := ringQueue(t)
		slot := slotFor(frame, unix.TP_STATUS_USER, nil)
		spoil((*unix.Tpacket2Hdr)(unsafe.Pointer(&slot[0])), slot[66:76])
		if m := take(q, slot); m != nil {
			t.Errorf("%s: taken", name)
		}
		if n := q.truncated.Load() + q.superPackets.Load(); n != 1 || q.cache.Avail() != 8 {
			t.Errorf("%s: %d and %d counted, %d buffers free", name, q.truncated.Load(), q.superPackets.Load(), q.cache.Avail())
		}
	}
}

func FuzzTake(f *testing.F) {
	f.Add(slotFor(testFrame(60, 1), unix.TP_STATUS_USER, nil))
	f.Add(slotFor(testFrame(1514, 1), unix.TP_STATUS_USER|unix.TP_STATUS_VLAN_VALID, []byte{1, 0, 0, 0, 0, 0, 34, 0, 16, 0}))
	f.Add(slotFor(testFrame(60, 1), unix.TP_STATUS_USER, []byte{1, 0, 0, 0, 0, 0, 255, 255, 255, 255}))
	q := ringQueue(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		slot := make([]byte, 2048)
		copy(slot, b)
		if m := take(q, slot); m != nil {
			if len(m.Data()) < ethHeader || len(m.Data()) > int(q.at.maxFrame.Load()) {
				t.Errorf("packet of %d bytes", len(m.Data()))
			}
			q.cache.Free(m)
		}
		if n := q.cache.Avail(); n != 8 {
			t.Fatalf("%d buffers lost", 8-n)
		}
	})
}
