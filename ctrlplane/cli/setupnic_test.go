package cli

import (
	"strings"
	"testing"
)

func TestSetupNICListsAndRefusesWhatIsNone(t *testing.T) {
	if status, out, errs := call(t, "setup", "nic"); status == exitOK && !strings.HasPrefix(out, "PCI ") || status != exitOK && !strings.Contains(errs, "PCI devices") {
		t.Errorf("status %d, %q, %q", status, out, errs)
	}
	for want, args := range map[string][]string{
		"neither a PCI address":              {"lo"},
		"no such PCI device":                 {"fffe:ff:1f.7"},
		"--restore takes no other flag":      {"fffe:ff:1f.7", "--restore", "--persistent"},
		"unknown flag --ye; did you mean --": {"fffe:ff:1f.7", "--ye"},
	} {
		status, out, errs := call(t, append([]string{"setup", "nic"}, args...)...)
		if status == exitOK || out != "" || !strings.Contains(errs, want) && !strings.Contains(errs, "PCI devices") {
			t.Errorf("%v: status %d, %q, %q", args, status, out, errs)
		}
	}
}

func TestReservationOfHugePagesIsSaidBefore(t *testing.T) {
	for want, now := range map[string]int{"reserve 7 huge pages of 2048 KiB in all, from 3": 3, "keep the 9 huge pages that are reserved": 9} {
		if got := reservation(Pages{PageBytes: 2 << 20, Total: now}, 7); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
