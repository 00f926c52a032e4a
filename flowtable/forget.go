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
