package usage

import "fmt"

// shells are those that Completion knows.
var shells = []struct {
	name string
	make func(*Program) string
}{{"bash", (*Program).bash}, {"zsh", (*Program).zsh}, {"fish", (*Program).fish}}

// Shells returns the names of the shells that Completion knows.
func Shells() []string {
	var names []string
	for _, s := range shells {
		names = append(names, s.name)
	}
	return names
}

// Completion returns a script that makes a shell complete commands, flags, and values of a kind that the machine can list: files,
// instances, interfaces and keys.
func (p *Program) Completion(shell string) (string, error) {
	for _, s := range shells {
		if s.name == shell {
			return s.make(p), nil
		}
	}
	return "", fmt.Errorf("%q is no shell that completion is made for", shell)
}

// kind says what a flag's value is, for the shells: file, name, port, key, or other.
func (c *Command) kind(f Flag) string {
	switch f.Value {
	case "FILE", "NAME", "PORT":
		return f.Value
	case "IF":
		return "PORT"
	case "KEY=VALUE":
		if c.setsKeys() {
			return "KEY"
		}
	}
	return "OTHER"
}

// Shell commands that list what runs on the machine, and its interfaces.
const (
	listInstances  = `{ ls /run/linecrypt; ls /etc/linecrypt | sed -n 's/\.yaml$//p'; } 2>/dev/null`
	listInterfaces = `ls /sys/class/net 2>/dev/null`
)
