package instance

import "fmt"

// MaxName is the longest name of an instance in bytes.
const MaxName = 32

// CheckName returns an error unless name may be the name of an instance: 1 to 32 characters, a-z, 0-9, dot, underscore
// and hyphen, the first one a letter or a digit. Such a name is safe as part of a path.
func CheckName(name string) error {
	if name == "" || len(name) > MaxName {
		return fmt.Errorf("instance name %.40q: want 1 to %d characters", name, MaxName)
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return fmt.Errorf("instance name %q: want a-z, 0-9, '.', '_' and '-', beginning with a letter or a digit", name)
		}
	}
	return nil
}
