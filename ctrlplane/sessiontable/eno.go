package sessiontable

// ENO is an ENO option as on the wire, kind and length bytes included, padded with zeros to the room that TCP has for options.
type ENO [40]byte

// MakeENO copies an option. What does not fit, or is none, leaves an empty one.
func MakeENO(raw []byte) (o ENO) {
	if len(raw) >= 2 && len(raw) <= len(o) && int(raw[1]) == len(raw) {
		copy(o[:], raw)
	}
	return o
}

// Bytes returns the option; it aliases o. It is empty where there is none.
func (o *ENO) Bytes() []byte {
	if n := int(o[1]); n >= 2 && n <= len(o) {
		return o[:n]
	}
	return nil
}
