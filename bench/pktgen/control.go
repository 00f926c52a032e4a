package pktgen

import (
	"crypto/rand"
	"errors"
	"fmt"

	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/responder"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
	"linecrypt/dataplane/tsc"
	"linecrypt/flowtable"
)

// control is the control plane of a run: it answers all workers with what a responder says, in the thread of the generator. Where connections
// share a master key it does not compute anything: it answers as a responder does, with that key.
type control struct {
	seg       *shm.Segment
	lines     []line // by worker
	responder *responder.Responder
	shared    *tcpcrypt.MasterKey
	aead      tcpcrypt.AEAD
	init      [2][]byte // Init1 and Init2 where the master key is shared
	beaten    int64
	req       shm.Request
	rep       shm.Reply

	cycles   uint64 // spent on answers
	answered uint64
}

// line leads from a worker to the control plane and back.
type line struct {
	asked  *shm.Consumer
	answer *shm.Producer
}

// newControl takes the control plane's part in the segment of an instance and puts rules in force.
func newControl(dir string, cfg *config.Config, aead tcpcrypt.AEAD, shared *tcpcrypt.MasterKey) (*control, error) {
	terms := responder.TermsOf(cfg)
	terms.AEADs = []tcpcrypt.AEAD{aead}
	r, err := responder.New(terms, rand.Reader)
	if err != nil {
		return nil, err
	}
	seg, err := shm.OpenControl(dir, cfg.Name)
	if err != nil {
		return nil, err
	}
	c := &control{seg: seg, responder: r, shared: shared, aead: aead}
	for i := range cfg.Workers.Count {
		part := seg.Worker(i)
		c.lines = append(c.lines, line{asked: shm.NewConsumer(part.Requests), answer: shm.NewProducer(part.Replies)})
	}
	rules := r.Rules()
	if err = seg.PublishRuleSet(r.Set()); err == nil {
		err = seg.PublishRules(&rules)
	}
	if err == nil && shared != nil {
		err = c.makeInits()
	}
	if err != nil {
		return nil, errors.Join(err, seg.Close())
	}
	return c, nil
}

// makeInits makes the Init messages that go with a shared master key: real ones, of which nobody needs the private key.
func (c *control) makeInits() error {
	key, err := tcpcrypt.GenerateKey(tcpcrypt.ECDHECurve25519, rand.Reader)
	if err != nil {
		return fmt.Errorf("key of the shared Init messages: %w", err)
	}
	defer key.Wipe()
	if c.init[0], err = (tcpcrypt.Init1{Ciphers: []tcpcrypt.AEAD{c.aead}, Public: key.Public()}).Append(nil, key.TEP()); err != nil {
		return err
	}
	c.init[1], err = (tcpcrypt.Init2{Cipher: c.aead, Public: key.Public()}).Append(nil, key.TEP())
	return err
}

// beatEvery is the interval of the heartbeat in ns.
const beatEvery = int64(20e6)

// pump answers what the workers asked, and keeps the heartbeat.
func (c *control) pump(now int64) {
	if now-c.beaten >= beatEvery {
		c.beaten = now
		c.seg.Beat(now)
	}
	for i := range c.lines {
		c.answerAll(&c.lines[i])
	}
}

// answerAll answers what a worker asked.
func (c *control) answerAll(l *line) {
	for {
		msg, err := l.asked.Peek()
		if err != nil {
			continue // thrown away, by the consumer
		}
		if msg == nil {
			return
		}
		t := tsc.Now()
		if c.req.Decode(msg) == nil && !c.reply(l) {
			return // no room: the request stays
		}
		l.asked.Release()
		c.cycles += tsc.Now() - t
	}
}

// reply answers the request at hand, and reports whether there was room for the answer.
func (c *control) reply(l *line) bool {
	q, p := &c.req, &c.rep
	if c.shared == nil {
		c.responder.Handle(q, p)
	} else {
		c.replyShared(q, p)
	}
	if p.Kind == 0 {
		return true
	}
	p.Ref, p.Seq = q.Ref, q.Seq
	sent := l.answer.SendReply(p)
	responder.Wipe(p)
	if sent {
		c.answered++
	}
	return sent
}

// replyShared is the answer with the shared master key.
func (c *control) replyShared(q *shm.Request, p *shm.Reply) {
	*p = shm.Reply{TEP: byte(tcpcrypt.ECDHECurve25519)}
	switch q.Kind {
	case shm.ActiveAnswer:
		p.Kind, p.Init, p.Secret = shm.Init1, c.init[0], []byte{1}
		return
	case shm.ActiveKeys:
		p.Kind, p.Role = shm.Keys, flowtable.RoleA
	case shm.PassiveKeys:
		p.Kind, p.Role, p.Init = shm.Keys, flowtable.RoleB, c.init[1]
	default:
		return
	}
	p.AEAD, p.Keys.Master = uint16(c.aead), *c.shared
}

func (c *control) close() error {
	if c == nil {
		return nil
	}
	return c.seg.Close()
}
