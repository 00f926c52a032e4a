package port

// Link is the state of a port's link.
type Link uint8

// The states of a link.
const (
	LinkUp   Link = iota + 1
	LinkDown      // the device is there, but it is down or has no carrier
	LinkGone      // there is no device that the port could attach to
)

// String returns the state's name.
func (l Link) String() string {
	switch l {
	case LinkUp:
		return "up"
	case LinkDown:
		return "down"
	case LinkGone:
		return "gone"
	}
	return "unknown"
}

// State is what a port knows of its device.
type State struct {
	Link Link
	// MTU is the largest IP packet in bytes that the port carries.
	MTU int
	// Attached counts how often the port attached to its device, 1 after it was opened.
	Attached int
	// Fault says why the port does not do all that its device could, or does what it must not, and what helps. Nil is nothing.
	Fault error
}
