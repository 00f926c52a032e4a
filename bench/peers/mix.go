package main

import (
	"encoding/binary"
	"os"

	"linecrypt/dataplane/packet"
)

// dataPerAck is the mix of packets: so many data segments to one acknowledgement.
const dataPerAck = 2

// repeats is how often the mix is in a capture file, which the peers' source goes through again and again.
const repeats = 32

// Lengths of headers in bytes: Ethernet, IPv4, TCP with timestamps.
const (
	ethLen     = 14
	ipLen      = 20
	tcpLen     = 32
	headersLen = ethLen + ipLen + tcpLen
)

// mix returns the packets of a capture file: segments of one connection with that many bytes of data, and acknowledgements among
// them. The peers look at no sequence number, but all checksums are right.
func mix(size int) [][]byte {
	var packets [][]byte
	for i := range repeats {
		for k := range dataPerAck {
			packets = append(packets, segment(uint32((i*dataPerAck+k)*size), size))
		}
		packets = append(packets, segment(uint32((i+1)*dataPerAck*size), 0))
	}
	return packets
}

// segment is a TCP segment with size bytes of data. Its destination is in the network that ipsec-secgw protects.
func segment(seq uint32, size int) []byte {
	be := binary.BigEndian
	b := make([]byte, headersLen+size)
	copy(b, []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0})
	ip, tcp := b[ethLen:ethLen+ipLen], b[ethLen+ipLen:]
	ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, 64, 6
	be.PutUint16(ip[2:], uint16(len(b)-ethLen))
	copy(ip[12:], []byte{10, 1, 0, 1})
	copy(ip[16:], []byte{192, 168, 105, 10})
	be.PutUint16(ip[10:], ^packet.Sum(ip, 0))
	be.PutUint16(tcp, 443)
	be.PutUint16(tcp[2:], 40000)
	be.PutUint32(tcp[4:], 1+seq)
	be.PutUint32(tcp[8:], 1)
	tcp[12], tcp[13] = tcpLen/4<<4, packet.FlagACK
	be.PutUint16(tcp[14:], 65535)
	copy(tcp[20:], []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1})
	for i := range tcp[tcpLen:] {
		tcp[tcpLen+i] = byte(i)
	}
	pseudo := append(append([]byte{}, ip[12:20]...), 0, 6, 0, 0)
	be.PutUint16(pseudo[10:], uint16(len(tcp)))
	be.PutUint16(tcp[16:], ^packet.Sum(tcp, packet.Sum(pseudo, 0)))
	return b
}

// writeCapture writes packets in the format of pcap.
func writeCapture(name string, packets [][]byte) error {
	le := binary.LittleEndian
	b := le.AppendUint32(nil, 0xa1b2c3d4)
	b = le.AppendUint16(le.AppendUint16(b, 2), 4)
	for _, word := range []uint32{0, 0, 65535, 1} { // time zone, accuracy, longest packet, Ethernet
		b = le.AppendUint32(b, word)
	}
	for i, p := range packets {
		for _, word := range []uint32{0, uint32(i), uint32(len(p)), uint32(len(p))} {
			b = le.AppendUint32(b, word)
		}
		b = append(b, p...)
	}
	return os.WriteFile(name, b, 0o600)
}
