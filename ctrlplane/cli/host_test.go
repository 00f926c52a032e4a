package cli

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"linecrypt/ctrlplane/instance"
)

// Whoever mistypes the name of an interface that is closed is not to be told that it was not.
func TestInterfaceThatIsNotThereIsNotCalledOpen(t *testing.T) {
	status, out, errs := call(t, "host", "--name", "x", "--interface", "lc-none", "--open")
	if status != exitFailure || out != "" || !strings.Contains(errs, "interface lc-none: ") {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
}

// Its guard is what the interface has when the gateway there is killed.
func TestInterfaceThatAGatewayHasIsNotOpened(t *testing.T) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(instance.EnvRunDir, t.TempDir())
	in, err := instance.Open("other")
	if err != nil {
		t.Fatal(err)
	}
	claim, err := in.ClaimInterface(lo.Attrs().Index, "lo")
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release()
	status, out, errs := call(t, "host", "--interface", "lo", "--name", "another", "--open")
	if status != exitFailure || !strings.Contains(errs, `interface lo is a port of instance "other"`) || !strings.Contains(errs, "`linecrypt stop --name other` ends it first") {
		t.Errorf("status %d, output %q, error %q", status, out, errs)
	}
	if err := checkUnprotected("no-such-link"); err != nil {
		t.Errorf("an interface that does not exist: %v", err)
	}
}
