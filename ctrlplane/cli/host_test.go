package cli

import (
	"strings"
	"testing"
)

// Whoever mistypes the name of an interface that is closed is not to be told that it was not.
func TestInterfaceThatIsNotThereIsNotCalledOpen(t *testing.T) {
	status, out, errs := call(t, "host", "--name", "x", "--interface", "lc-none", "--open")
	if status != exitFailure || out != "" || !strings.Contains(errs, "interface lc-none: ") {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
}
