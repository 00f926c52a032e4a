package packetpath

import (
	"encoding/binary"
	"fmt"

	"linecrypt/cryptobatch"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/port"
	"linecrypt/flowtable"
)

// aead is the AEAD of all flows.
const aead = tcpcrypt.AES128GCM

// frameOverhead is what a frame is longer than its data, in bytes.
const frameOverhead = tcpcrypt.Overhead

// master is the master key of a flow: any bytes will do that no other flow has.
func master(flow int64) (k tcpcrypt.MasterKey) {
	for i := range k {
		k[i] = byte(i)
	}
	binary.BigEndian.PutUint64(k[:], uint64(flow))
	return k
}

// secrets is what one direction of a flow is sealed with.
type secrets struct {
	key [16]byte
	nr  [tcpcrypt.NonceLen]byte
}

// secretsOf derives the secrets of a flow by the side that its data comes from. The far end opened the connection and has role A.
func secretsOf(flow int64) (s [flowtable.NumSides]secrets) {
	m := master(flow)
	for side, d := range [flowtable.NumSides]tcpcrypt.Direction{flowtable.Inside: tcpcrypt.BA, flowtable.Outside: tcpcrypt.AB} {
		t := m.Traffic(aead, d)
		copy(s[side].key[:], t.Key[:])
		s[side].nr = t.NR
	}
	return s
}

// crypter seals frames of far ends and opens those of the gateway. It keeps a few expanded keys: a million would not be cheaper
// to keep than to make anew.
type crypter struct {
	engine  cryptobatch.Engine
	batch   cryptobatch.Batcher
	secrets [][flowtable.NumSides]secrets // by flow
	keys    [port.Burst]cryptobatch.Key
	owners  [port.Burst]int64 // flow and side of each key, plus 1
	ops     []cryptobatch.Op
	text    []byte
}

func newCrypter(engine cryptobatch.Engine, flows int) *crypter {
	c := &crypter{
		engine: engine, batch: engine.NewBatcher(port.Burst), secrets: make([][flowtable.NumSides]secrets, flows),
		ops: make([]cryptobatch.Op, 0, port.Burst), text: make([]byte, 2048),
	}
	for f := range c.secrets {
		c.secrets[f] = secretsOf(int64(f))
	}
	return c
}

// key returns the expanded key of a flow's direction, in a place that is the next operation's.
func (c *crypter) key(flow int64, from flowtable.Side) (*cryptobatch.Key, error) {
	i := len(c.ops)
	if len(c.secrets) == 1 {
		i = int(from)
	}
	if owner := 1 + 2*flow + int64(from); c.owners[i] != owner {
		if err := c.engine.Expand(&c.keys[i], cryptobatch.Algorithm(aead), c.secrets[flow][from].key[:]); err != nil {
			return nil, fmt.Errorf("flow %d: %w", flow, err)
		}
		c.owners[i] = owner
	}
	return &c.keys[i], nil
}

// seal makes frame, whose data lies behind its header and flags with room for the tag, the frame of a flow's far end at position
// w of the wire. It is sealed at the latest by flush.
func (c *crypter) seal(flow int64, w uint64, frame []byte) error {
	key, err := c.key(flow, flowtable.Outside)
	if err != nil {
		return err
	}
	tcpcrypt.Header{Clen: uint16(len(frame) - tcpcrypt.HeaderLen)}.Put(frame)
	frame[tcpcrypt.HeaderLen] = 0
	c.ops = append(c.ops, cryptobatch.Op{
		Key: key, AAD: frame[:tcpcrypt.HeaderLen], Src: frame[tcpcrypt.HeaderLen : len(frame)-tcpcrypt.TagLen], Dst: frame[tcpcrypt.HeaderLen:],
		Nonce: tcpcrypt.Nonce(c.secrets[flow][flowtable.Outside].nr, w),
	})
	if len(c.ops) == cap(c.ops) {
		return c.flush()
	}
	return nil
}

// flush seals what is gathered.
func (c *crypter) flush() error {
	failed := c.batch.Seal(c.ops)
	c.ops = c.ops[:0]
	if failed > 0 {
		return fmt.Errorf("%d frames of far ends could not be sealed", failed)
	}
	return nil
}

// open verifies the tag of a frame that the gateway sealed at position w of the wire and returns its data, which is valid until
// the next call. Nothing is gathered. The frame stays as it is.
func (c *crypter) open(flow int64, w uint64, frame []byte) ([]byte, error) {
	h, err := tcpcrypt.ParseHeader(frame)
	if err != nil {
		return nil, err
	}
	if h.FrameLen() != len(frame) || h.Control != 0 {
		return nil, fmt.Errorf("frame of %d bytes in %d, control byte %#x", h.FrameLen(), len(frame), h.Control)
	}
	key, err := c.key(flow, flowtable.Inside)
	if err != nil {
		return nil, err
	}
	op := append(c.ops, cryptobatch.Op{
		Key: key, AAD: frame[:tcpcrypt.HeaderLen], Src: frame[tcpcrypt.HeaderLen:], Dst: c.text,
		Nonce: tcpcrypt.Nonce(c.secrets[flow][flowtable.Inside].nr, w),
	})
	if c.batch.Open(op) > 0 {
		return nil, tcpcrypt.ErrAuthentication
	}
	text := c.text[:h.PlainLen()]
	if text[0] != 0 {
		return nil, fmt.Errorf("flags byte %#x", text[0])
	}
	return text[tcpcrypt.FlagsLen:], nil
}
