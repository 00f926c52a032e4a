package server

import (
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/keylog"
)

// logKeysTo opens the key log that the configuration names, in place of the one before. A warning is in the log for as long as somebody
// looks, and a mark in the instance's folder tells `linecrypt status`. With an error all stays as it was.
func (p *process) logKeysTo(c *config.Config) error {
	path := c.Debug.KeyLog
	if path == p.keyLogPath {
		return nil
	}
	var l *keylog.Log
	if path != "" {
		var err error
		if l, err = keylog.Open(path); err != nil {
			return c.Err("debug.key_log", err)
		}
	}
	if err := p.in.MarkKeyLog(path); err != nil {
		if l != nil {
			l.Close()
		}
		return err
	}
	if path != "" {
		p.log.Warn("the keys of new connections are written to a file: whoever has it reads them", "debug.key_log", path)
	} else {
		p.log.Info("the keys of new connections are not logged any more")
	}
	if old := p.srv.SetKeyLog(l); old != nil {
		old.Close()
	}
	p.keyLogPath = path
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
