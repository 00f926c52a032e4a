package ends

import "encoding/binary"

// Connection n has the host 10.1.h, where h is n without its last portBits, which are in the host's port, and a far end in
// 198.18.0.0/15 (RFC 2544 appendix C) in one of 256 /24s, so that no peer holds all connections. The far end's port says which life of
// the connection this is: one that is opened anew has another.
const (
	portBits  = 12
	firstPort = 0x4000
	lifePort  = 1024
	lives     = 60000

	hostNet  = 10<<24 | 64<<16 // 10.64.0.0/10
	farNet   = 198<<24 | 18<<16
	floodNet = 203<<24 | 0<<16 | 113<<8 // RFC 5737; forged SYNs are from here on
)

func hostAddr(n uint32) uint32 { return hostNet + 1 + n>>portBits }
func hostPort(n uint32) uint16 { return firstPort + uint16(n&(1<<portBits-1)) }

func farAddr(n uint32) uint32 { return farNet | n&0xff<<8 | (n>>8)%250 + 1 }

func farPort(life uint32) uint16 { return lifePort + uint16(life%lives) }

// numberOf is the inverse of hostAddr and hostPort.
func numberOf(addr uint32, port uint16) (n uint32, ok bool) {
	h, p := addr-hostNet-1, uint32(port-firstPort)
	return h<<portBits | p, h < 1<<20 && p < 1<<portBits
}

func putAddr(b []byte, addr uint32) { binary.BigEndian.PutUint32(b, addr) }
