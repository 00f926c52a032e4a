package sessiontable

// Auth says what is known of who the far end is, beyond that it has the same session ID.
type Auth uint8

// What is known. The numbers are part of the file's format.
const (
	AuthNone      Auth = iota // nobody has asked, or nobody can tell
	AuthWaiting               // the peer that has the far end behind it has not told its session ID yet
	Authenticated             // the peer has told the same session ID
	AuthMismatch              // the peer has told another session ID: somebody is in the middle
	numAuths
)

var authNames = [numAuths]string{"none", "waiting", "authenticated", "mismatch"}

// String returns the name that commands print, "invalid" for what a damaged file may hold.
func (a Auth) String() string {
	if a < numAuths {
		return authNames[a]
	}
	return "invalid"
}
