package flowtable

import "fmt"

// Side is one of a gateway's two ports, and the direction of what is received there.
type Side uint8

// The sides.
const (
	Inside   Side = iota // the hosts, plain TCP
	Outside              // the network, tcpcrypt
	NumSides = 2
)

// Other returns the other side.
func (s Side) Other() Side { return s ^ 1 }

// String returns the side's name as in the configuration.
func (s Side) String() string {
	switch s {
	case Inside:
		return "inside"
	case Outside:
		return "outside"
	}
	return "invalid"
}

// Role is one of the two abstract roles of a tcpcrypt connection (RFC 8547 section 4.3), of the gateway where nothing else is said.
type Role uint8

// The roles. The numbers are part of the shared-memory contract.
const (
	RoleUnknown Role = iota // nothing is negotiated
	RoleA                   // sent b = 0: normally the active opener
	RoleB                   // sent b = 1: normally the passive opener
)

// Peer returns the other role.
func (r Role) Peer() Role {
	switch r {
	case RoleA:
		return RoleB
	case RoleB:
		return RoleA
	}
	return RoleUnknown
}

// Valid reports whether the role is A or B.
func (r Role) Valid() bool { return r == RoleA || r == RoleB }

// String returns "A" or "B", "-" where there is no role.
func (r Role) String() string {
	switch r {
	case RoleA:
		return "A"
	case RoleB:
		return "B"
	}
	return "-"
}

// RuleRef names the rule that a connection was decided on by: the set of rules that was in force, and the rule's place in the table of
// names (package policy). It is written once, when the connection begins. The zero value names the rule that holds where there is no
// other, as long as no set was published.
type RuleRef uint32

// NewRuleRef returns the reference to a rule of a set.
func NewRuleRef(set, slot uint16) RuleRef { return RuleRef(set)<<16 | RuleRef(slot) }

// Set returns the number of the set of rules.
func (r RuleRef) Set() uint16 { return uint16(r >> 16) }

// Slot returns the rule's place in the table of names.
func (r RuleRef) Slot() uint16 { return uint16(r) }

// Policy is what happens to connections that cannot be encrypted.
type Policy uint8

// The policies, each weaker than the one behind it but for Disabled. The numbers are part of the shared-memory contract.
const (
	PolicyUnset   Policy = iota // nobody has said yet
	Opportunistic               // encrypt where the far end can, else pass in the clear
	Require                     // refuse what cannot be encrypted
	Disabled                    // pass everything untouched
	NumPolicies
)

var policyNames = [NumPolicies]string{"unset", "opportunistic", "require", "disabled"}

// String returns the policy's name as in the configuration.
func (p Policy) String() string {
	if p < NumPolicies {
		return policyNames[p]
	}
	return "invalid"
}

// ParsePolicy returns the policy of that name; PolicyUnset has none.
func ParsePolicy(name string) (Policy, error) {
	for p := Opportunistic; p < NumPolicies; p++ {
		if policyNames[p] == name {
			return p, nil
		}
	}
	return PolicyUnset, fmt.Errorf("%q is no policy: want opportunistic, require or disabled", name)
}

// Valid reports whether the policy is one that a configuration can name.
func (p Policy) Valid() bool { return p > PolicyUnset && p < NumPolicies }
