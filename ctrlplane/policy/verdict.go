package policy

// Verdict is what became of a connection, as it is counted by rule.
type Verdict uint8

// The verdicts. The numbers are part of the shared-memory contract.
const (
	Off         Verdict = iota // passed untouched, as the rule says
	Clear                      // passed in the clear, because it could not be encrypted
	Encrypted                  // keys are in place
	Refused                    // refused, or reset before there were keys
	NumVerdicts = 4
)

var verdictNames = [NumVerdicts]string{"off", "clear", "encrypted", "refused"}

// String returns the verdict in lower case.
func (v Verdict) String() string {
	if v < NumVerdicts {
		return verdictNames[v]
	}
	return "invalid"
}
