package server

import (
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/keylog"
)

// keyLogOf is the key log that a configuration wants, which nothing is written to before logKeysTo.
type keyLogOf struct {
	path string // empty for none
	log  *keylog.Log
}

// openKeyLog opens the key log that a configuration names, where that is not the one in use, or not any more because somebody has moved it.
func (p *process) openKeyLog(c *config.Config) (k keyLogOf, err error) {
	if k.path = c.Debug.KeyLog; k.path == "" || k.path == p.keyLogPath && p.srv.keyLog.Load().There() {
		return k, nil
	}
	if k.log, err = keylog.Open(k.path); err != nil {
		return k, c.Err("debug.key_log", err)
	}
	return k, nil
}

// discard closes a key log that is not wanted after all.
func (k *keyLogOf) discard() {
	if k.log != nil {
		k.log.Close()
	}
}

// logKeysTo puts a key log in the place of the one before. A warning is in the log for as long as somebody looks, and a mark in the
// instance's folder tells `linecrypt status`. With an error all stays as it was.
func (p *process) logKeysTo(k keyLogOf) error {
	if k.path == p.keyLogPath && k.log == nil {
		return nil
	}
	if err := p.in.MarkKeyLog(k.path); err != nil {
		k.discard()
		return err
	}
	if k.path != "" {
		p.log.Warn("the keys of new connections are written to a file: whoever has it reads them", "debug.key_log", k.path)
	} else {
		p.log.Info("the keys of new connections are not logged any more")
	}
	if old := p.srv.SetKeyLog(k.log); old != nil {
		old.Close()
	}
	p.keyLogPath = k.path
	return nil
}

// stopKeyLog closes the key log and takes the mark away.
func (p *process) stopKeyLog() {
	if p.keyLogPath == "" {
		return
	}
	if old := p.srv.SetKeyLog(nil); old != nil {
		old.Close()
	}
	if err := p.in.MarkKeyLog(""); err != nil {
		p.log.Warn("take away the mark of the key log", "error", err)
	}
}
