package flowtable

// Egress is the sealing half of a connection.
type Egress struct {
	PNext   uint64
	WNext   uint64
	Queue   Ledger
	Secrets Secrets
}
