package flowtable

// Ingress is the opening half of a connection.
type Ingress struct {
	PNext   uint64
	WNext   uint64
	Queue   Ledger
	Secrets Secrets
}
