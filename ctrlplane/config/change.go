package config

import (
	"fmt"
	"slices"

	"linecrypt/ctrlplane/policy"
)

// Change is a key whose value differs between two configurations.
type Change struct {
	Key      string
	Old, New string // as `--set` takes them
}

// Reloaded is what came of loading a configuration again: the control plane answers it, `linecrypt reload` shows it.
type Reloaded struct {
	Errors   []string `json:"errors"`   // why nothing was changed; empty when the new configuration is in force
	Changed  []string `json:"changed"`  // keys that were changed for new connections, with their old and new values
	Weakened []string `json:"weakened"` // those of them that protect less than before
	Restart  []string `json:"restart"`  // keys whose new values need a restart of the gateway
}

// String returns "key (old -> new)".
func (c Change) String() string {
	return fmt.Sprintf("%s (%s -> %s)", c.Key, orNone(c.Old), orNone(c.New))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// reloadable are the keys that a running control plane can change, for new connections.
var reloadable = []string{"policy", "rules", "teps", "aeads", "application_aware", "rekey.frames", "rekey.bytes", "rekey.time", "resume", "authenticated", "on_mismatch", "peers", "log.level", "debug.key_log"}

// beginPeering are the keys that a running control plane can change as long as it has no key for peers.
var beginPeering = []string{"peering.key", "peering.listen"}

// KeepPeering makes peering go by what is in force already, where that can only be changed by a restart.
func (c *Config) KeepPeering(inForce *Config) {
	if inForce.Peering.Key != "" {
		c.Peering.Key, c.Peering.Listen = inForce.Peering.Key, inForce.Peering.Listen
	}
}

// Changes returns the keys whose values differ, in the order of the table: those that take effect when the configuration is loaded
// again, and those that need a restart.
func Changes(old, fresh *Config) (now, later []Change) {
	for i := range keys {
		k := &keys[i]
		c := Change{k.Name, k.Value(old), k.Value(fresh)}
		switch {
		case c.Old == c.New:
		case slices.Contains(reloadable, k.Name), old.Peering.Key == "" && slices.Contains(beginPeering, k.Name):
			now = append(now, c)
		default:
			later = append(later, c)
		}
	}
	return now, later
}

// Weakened returns those of the changes that protect new connections less than before: a policy that lets more pass in the clear, an
// application-aware bit that is not demanded any more, a key agreement or a cipher that was not agreed to before, a prefix that is behind no
// peer any more.
func Weakened(old, fresh *Config) []Change {
	weaker := map[string]bool{
		"policy":            policy.Strength(fresh.Policy) < policy.Strength(old.Policy),
		"application_aware": old.ApplicationAware == AwareMandatory && fresh.ApplicationAware != AwareMandatory,
		"authenticated":     old.Authenticated && !fresh.Authenticated,
		"on_mismatch":       old.OnMismatch == MismatchReset && fresh.OnMismatch != MismatchReset,
		"teps":              policy.Widened(old.TEPs, fresh.TEPs),
		"aeads":             policy.Widened(old.AEADs, fresh.AEADs),
		"peers":             unpeered(old.Peers, fresh.Peers),
	}
	now, _ := Changes(old, fresh)
	return slices.DeleteFunc(now, func(c Change) bool { return !weaker[c.Key] })
}

// Unsaid returns an error for each change whose new value nobody has asked for: the key is in neither the file nor the command line,
// so that its default would come into force. file is where the word belongs, empty where there is no file.
func (c *Config) Unsaid(file string, changes []Change) []error {
	var errs []error
	for _, ch := range changes {
		if c.IsSet(ch.Key) {
			continue
		}
		write := fmt.Sprintf("with --set %s=%s", ch.Key, ch.New)
		if file != "" {
			write = fmt.Sprintf("write `%s: %s` there", ch.Key, lookup(ch.Key).written(c))
		}
		errs = append(errs, &Error{Position: Position{File: file}, Key: ch.Key, Reason: fmt.Errorf(
			"the key is not given, and its default, %s, protects less than %s, which is in force; to have it so, %s", orNone(ch.New), ch.Old, write)})
	}
	return errs
}

// written returns the key's value as a line of a file has it.
func (k *Key) written(c *Config) string {
	switch v := k.Value(c); {
	case k.List:
		return "[" + v + "]"
	case v == "" && k.Default == "[]":
		return k.Default
	default:
		return v
	}
}
