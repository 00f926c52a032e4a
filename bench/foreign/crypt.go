package foreign

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"linecrypt/ctrlplane/eno"
	"linecrypt/ctrlplane/tcpcrypt"
)

// Config says how the endpoint negotiates.
type Config struct {
	TEP  tcpcrypt.TEP
	AEAD tcpcrypt.AEAD
	// Tail is appended to the Init message, inside its message_len: bytes that a receiver has to ignore.
	Tail []byte
	// Cut returns the lengths of the segments that the Init message goes out in.
	Cut func() int
	// Resume is what to resume, where the other end agrees; nil is nothing. Nonce is the length of the nonce in bytes.
	Resume *Chain
	Nonce  int
	// NoScale leaves the window scale option out.
	NoScale bool
}

// crypt is the tcpcrypt state of a connection.
type crypt struct {
	firstACK  bool // this end sent no SYN-ACK, so that its first other segment carries ENO
	resumed   bool
	session   tcpcrypt.Session
	send      direction
	receive   direction
	read      int // bytes of the peer's that are read: its Init message, and then frames
	offsetOut uint64
}

// direction is the key of one direction in its current generation.
type direction struct {
	dir    tcpcrypt.Direction
	aead   tcpcrypt.AEAD
	master tcpcrypt.MasterKey
	key    tcpcrypt.TrafficKey
	gen    int // number of the key generation
}

func newDirection(s *tcpcrypt.Session, dir tcpcrypt.Direction) direction {
	return direction{dir: dir, aead: s.AEAD, master: s.Master, key: s.Master.Traffic(s.AEAD, dir)}
}

func (d *direction) next() {
	d.master = d.master.Next()
	d.key = d.master.Traffic(d.aead, d.dir)
	d.gen++
}

// SessionID returns the connection's session ID.
func (c *Conn) SessionID() tcpcrypt.SessionID { return c.crypt.session.ID }

func (cfg *Config) scale() int {
	if cfg.NoScale {
		return -1
	}
	return ownScale
}

// Dial opens a connection to the peer in role A.
func (e *Endpoint) Dial(ctx context.Context, local, remote uint16, cfg Config) (*Conn, error) {
	c := e.conn(local, cfg.scale())
	c.remote = remote
	if err := c.dial(ctx, cfg); err != nil {
		return nil, fmt.Errorf("foreign endpoint: %w", err)
	}
	return c, nil
}

func (c *Conn) dial(ctx context.Context, cfg Config) error {
	offer, err := eno.AppendOffer(nil, eno.Offer{TEPs: []eno.TEP{eno.TEP(cfg.TEP)}})
	if err != nil {
		return err
	}
	var own []byte
	if cfg.Resume != nil {
		var sub []byte
		sub, own = cfg.Resume.suboption(cfg.Nonce)
		offer = option(nil, sub)
	}
	syn := &segment{srcPort: c.local, dstPort: c.remote, seq: c.iss, flags: flagSYN, window: ownWindow, options: c.synOptions(offer)}
	if err := c.until(ctx, "SYN-ACK", func() { c.e.send(syn) }, func() bool { return c.syn != nil }); err != nil {
		return err
	}
	answer, err := eno.FindSYN(c.syn.options)
	if err != nil {
		return fmt.Errorf("SYN-ACK: %w", err)
	}
	if cfg.Resume != nil {
		if peer, ok := cfg.Resume.find(answer); ok {
			c.resumeKeys(cfg.Resume, own, peer)
			c.crypt.firstACK = true
			c.confirm()
			return nil
		}
	}
	n, err := eno.Negotiate(offer, answer, eno.Rules{Opener: eno.Active, Valid: valid})
	if err != nil {
		return err
	}
	key, err := tcpcrypt.GenerateKey(cfg.TEP, rand.Reader)
	if err != nil {
		return err
	}
	m := tcpcrypt.Init1{Ciphers: []tcpcrypt.AEAD{cfg.AEAD}, Public: key.Public()}
	_, _ = rand.Read(m.Nonce[:])
	init1, err := m.Append(nil, cfg.TEP)
	if err != nil {
		return err
	}
	init1 = withTail(init1, cfg.Tail)
	c.crypt.firstACK = true
	c.queue(init1, cfg.Cut)
	if err := c.Flush(ctx); err != nil {
		return fmt.Errorf("Init1: %w", err)
	}
	init2, err := c.readInit(ctx, tcpcrypt.KindInit2)
	if err != nil {
		return err
	}
	transcript := eno.AppendTranscript(nil, eno.A, offer, answer)
	s, err := tcpcrypt.AcceptInit2(key, n.B[0], transcript, init1, init2)
	if err != nil {
		return err
	}
	c.keyed(s, tcpcrypt.AB, len(init1))
	return nil
}

func valid(a, b []byte) bool { return tcpcrypt.ValidSuboptions(a, b, nil) }

// Listen waits for a connection of the peer's to a port and takes it in role B.
func (e *Endpoint) Listen(ctx context.Context, local uint16, cfg Config) (*Conn, error) {
	c := e.conn(local, cfg.scale())
	if err := c.accept(ctx, cfg); err != nil {
		return nil, fmt.Errorf("foreign endpoint: %w", err)
	}
	return c, nil
}

func (c *Conn) accept(ctx context.Context, cfg Config) error {
	if err := c.until(ctx, "SYN", nil, func() bool { return c.syn != nil }); err != nil {
		return err
	}
	offer, err := eno.FindSYN(c.syn.options)
	if err != nil {
		return fmt.Errorf("SYN: %w", err)
	}
	if _, ok := scaleOf(c.syn.options); !ok {
		c.scale = -1
	}
	if cfg.Resume != nil {
		if peer, ok := cfg.Resume.find(offer); ok {
			return c.acceptResumed(ctx, cfg, peer)
		}
	}
	answer, n, err := eno.Answer(nil, offer, eno.AnswerRules{Prefer: []eno.TEP{eno.TEP(cfg.TEP)}, Valid: valid})
	if err != nil {
		return err
	}
	synack := func() {
		s := c.segment(flagSYN|flagACK, -1, nil)
		s.options = c.synOptions(answer)
		c.e.send(s)
	}
	if err := c.until(ctx, "ACK", synack, func() bool { return c.ack != nil }); err != nil {
		return err
	}
	if !eno.FindNonSYN(c.ack.options) {
		return errors.New("the first ACK has no ENO option")
	}
	init1, err := c.readInit(ctx, tcpcrypt.KindInit1)
	if err != nil {
		return err
	}
	return c.answerInit1(ctx, cfg, n, eno.AppendTranscript(nil, eno.B, answer, offer), init1)
}

func (c *Conn) answerInit1(ctx context.Context, cfg Config, n eno.Negotiated, transcript, init1 []byte) error {
	m1, err := tcpcrypt.ParseInit1(cfg.TEP, init1)
	if err != nil {
		return err
	}
	cipher, err := tcpcrypt.SelectCipher([]tcpcrypt.AEAD{cfg.AEAD}, m1.Ciphers)
	if err != nil {
		return err
	}
	key, err := tcpcrypt.GenerateKey(cfg.TEP, rand.Reader)
	if err != nil {
		return err
	}
	es, err := key.Shared(m1.Public)
	if err != nil {
		return err
	}
	m2 := tcpcrypt.Init2{Cipher: cipher, Public: key.Public()}
	_, _ = rand.Read(m2.Nonce[:])
	init2, err := m2.Append(nil, cfg.TEP)
	if err != nil {
		return err
	}
	init2 = withTail(init2, cfg.Tail)
	s, err := tcpcrypt.NewSession(n.B[0], transcript, init1, init2, es)
	if err != nil {
		return err
	}
	c.queue(init2, cfg.Cut)
	if err := c.Flush(ctx); err != nil {
		return fmt.Errorf("Init2: %w", err)
	}
	c.keyed(s, tcpcrypt.BA, len(init2))
	return nil
}

// withTail lengthens an Init message by bytes that have no meaning.
func withTail(init, tail []byte) []byte {
	init = append(init, tail...)
	binary.BigEndian.PutUint32(init[4:], uint32(len(init)))
	return init
}

// readInit waits for the whole Init message at the start of what the peer sends.
func (c *Conn) readInit(ctx context.Context, kind tcpcrypt.InitKind) ([]byte, error) {
	var msg []byte
	var bad error
	err := c.until(ctx, kind.String(), nil, func() bool {
		n, need, err := tcpcrypt.MessageLen(kind, c.in[:min(len(c.in), tcpcrypt.InitPrefixLen)])
		if err != nil {
			bad = err
			return true
		}
		if need || len(c.in) < n {
			return false
		}
		msg = append(msg, c.in[:n]...)
		c.crypt.read = n
		return true
	})
	return msg, errors.Join(err, bad)
}

func (c *Conn) keyed(s tcpcrypt.Session, sends tcpcrypt.Direction, initOut int) {
	c.crypt.session = s
	c.crypt.send = newDirection(&s, sends)
	c.crypt.receive = newDirection(&s, sends.Reverse())
	c.crypt.offsetOut = uint64(initOut)
}

// Seal returns the wire bytes of a frame behind all that was sealed before. With f.Rekey the keys of the sending direction
// advance first.
func (c *Conn) Seal(f tcpcrypt.Frame) ([]byte, error) {
	if f.Rekey {
		c.crypt.send.next()
	}
	b, err := tcpcrypt.Seal(nil, &c.crypt.send.key, c.crypt.offsetOut, f)
	c.crypt.offsetOut += uint64(len(b))
	return b, err
}

// Follow sends an empty frame that begins the next generation where the peer has begun more of them than this end, as RFC 8548 section 3.8
// demands, and reports whether it did. It must not be called beside Seal.
func (c *Conn) Follow(cut func() int) (bool, error) {
	c.mu.Lock()
	ahead := c.crypt.receive.gen > c.crypt.send.gen
	c.mu.Unlock()
	if !ahead {
		return false, nil
	}
	wire, err := c.Seal(tcpcrypt.Frame{Rekey: true})
	if err == nil {
		c.Queue(wire, cut)
	}
	return err == nil, err
}

// Queue adds wire bytes to the stream, to be sent in segments of the lengths that cut returns.
func (c *Conn) Queue(wire []byte, cut func() int) { c.queue(wire, cut) }

// Received opens all whole frames that have arrived since the last call, in order.
func (c *Conn) Received() ([]tcpcrypt.Frame, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var frames []tcpcrypt.Frame
	for {
		b := c.in[c.crypt.read:]
		h, err := tcpcrypt.ParseHeader(b)
		if errors.Is(err, tcpcrypt.ErrShortHeader) || err == nil && len(b) < h.FrameLen() {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		if h.Rekey() {
			c.crypt.receive.next()
		}
		f, n, err := tcpcrypt.Open(&c.crypt.receive.key, uint64(c.crypt.read), b)
		if err != nil {
			return frames, fmt.Errorf("frame at %d: %w", c.crypt.read, err)
		}
		frames = append(frames, f)
		c.crypt.read += n
	}
}

// Wait waits until something arrives, or for a short while.
func (c *Conn) Wait(ctx context.Context) error { return c.wait(ctx) }

// Ended reports whether the peer's FIN and everything before it has arrived.
func (c *Conn) Ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finIn
}
