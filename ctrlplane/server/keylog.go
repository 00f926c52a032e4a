package server

import (
	"linecrypt/ctrlplane/keylog"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/tcpcrypt"
)

// SetKeyLog has the master keys of new sessions written to l from now on, and returns where they went before; nil is nowhere. The logs are
// the caller's, who may close one that is no longer set.
func (s *Server) SetKeyLog(l *keylog.Log) (old *keylog.Log) { return s.keyLog.Swap(l) }

// logKeys writes the keys of a reply, if anybody wants that.
func (s *Server) logKeys(q *shm.Request, p *shm.Reply) {
	l := s.keyLog.Load()
	if l == nil || p.Kind != shm.Keys {
		return
	}
	context := keyLogContext(q)
	if context == nil {
		return
	}
	if err := l.Add(context, p.AEAD, p.Keys.Master[:], p.Keys.SessionID[:]); err != nil {
		s.log.Warn("no more keys are logged", "error", err)
	}
}

// keyLogContext returns what a capture shows of the connection: N_A, or of a resumed session both ENO options.
func keyLogContext(q *shm.Request) []byte {
	if len(q.ENOB) < 3 {
		return nil
	}
	if q.Resume != 0 {
		return append(append([]byte(nil), q.ENOA...), q.ENOB...)
	}
	for _, tep := range tcpcrypt.TEPs() { // N_A lies at the same place for all
		if m, err := tcpcrypt.ParseInit1(tep, q.Init1); err == nil {
			return m.Nonce[:]
		}
	}
	return nil
}
