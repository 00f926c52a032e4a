package flowtable

// ForgetKeys erases the secrets of a connection: it cannot go on, but whoever buries it still finds its addresses and positions.
func (r *Record) ForgetKeys() {
	r.Rare.Seal, r.Rare.Open = Secrets{}, Secrets{}
	r.Egress.NR, r.Ingress.NR = [12]byte{}, [12]byte{}
	r.Local.PrevNR, r.Local.NextNR = [12]byte{}, [12]byte{}
}

// ForgetKeys erases the secrets of all records, those that are not in use too: the process that wrote the table may have been killed
// before it erased them. No process may be writing the table.
func (t *Table) ForgetKeys() {
	for i := range Index(t.capacity) {
		if r := t.Record(i + 1); r != nil {
			r.ForgetKeys()
		}
	}
}

// MustEnd reports whether the connection was encrypted, or about to be, so that it cannot go on without the data plane that wrote the record:
// the next one resets its ends, and lets nothing of it pass.
func (r *Record) MustEnd() bool {
	return r.State == Encrypted || r.State == PassiveAck || r.State == Closing || r.Flags&FlagStarted != 0
}
