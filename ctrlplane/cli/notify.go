package cli

import (
	"os"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
)

// exitConfiguration is the status of `run` under a service manager for a configuration that is wrong (EX_CONFIG of sysexits.h). Starting it
// again is of no use until somebody has changed the file; the unit says so by RestartPreventExitStatus.
const exitConfiguration = 78

// configurationError is a configuration that `run` cannot begin with.
type configurationError struct{ error }

func (e *configurationError) Unwrap() error { return e.error }

// managed reports whether a service manager waits for word of us.
func managed() bool { return os.Getenv("NOTIFY_SOCKET") != "" }

// tell gives the service manager word, if there is one: states as sd_notify(3) has them. That it could not be told changes nothing.
func tell(state string) { _, _ = daemon.SdNotify(false, state) }

// tellFailure tells the service manager why the program ends. An error may have several lines, a status has one.
func tellFailure(err error) {
	first, _, _ := strings.Cut(err.Error(), "\n")
	tell("STATUS=" + first)
}
