package afpacket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// vnetHeader is the size of struct virtio_net_hdr, which lies right before each frame that is received or sent.
const vnetHeader = 10

// vnetInfo is a virtio-net header; offsets are in bytes from the start of the frame.
type vnetInfo struct {
	flags, gso            uint8
	hdrLen, gsoSize       int // of a super-packet: its headers, which is a hint, and the payload of each segment but the last
	csumStart, csumOffset int // with unix.VIRTIO_NET_HDR_F_NEEDS_CSUM: what the checksum is of, and where it goes behind that
}

// parseVnet reads a header of at least vnetHeader bytes, in the machine's byte order as the kernel writes it for sockets.
func parseVnet(b []byte) vnetInfo {
	return vnetInfo{
		flags:      b[0],
		gso:        b[1],
		hdrLen:     int(binary.NativeEndian.Uint16(b[2:])),
		gsoSize:    int(binary.NativeEndian.Uint16(b[4:])),
		csumStart:  int(binary.NativeEndian.Uint16(b[6:])),
		csumOffset: int(binary.NativeEndian.Uint16(b[8:])),
	}
}

// put writes the header to the first vnetHeader bytes of b.
func (v *vnetInfo) put(b []byte) {
	b[0], b[1] = v.flags, v.gso
	binary.NativeEndian.PutUint16(b[2:], uint16(v.hdrLen))
	binary.NativeEndian.PutUint16(b[4:], uint16(v.gsoSize))
	binary.NativeEndian.PutUint16(b[6:], uint16(v.csumStart))
	binary.NativeEndian.PutUint16(b[8:], uint16(v.csumOffset))
}

// kind is the type of a super-packet (unix.VIRTIO_NET_HDR_GSO_*), without the bit that says that its first segment carries CWR.
func (v *vnetInfo) kind() uint8 { return v.gso &^ unix.VIRTIO_NET_HDR_GSO_ECN }

func (v *vnetInfo) needsSum() bool { return v.flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0 }
