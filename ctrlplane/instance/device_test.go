package instance

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
)

// instanceIn makes an instance in a run folder of its own.
func instanceIn(t *testing.T, name string) *Instance {
	t.Helper()
	dir := t.TempDir()
	t.Setenv(EnvRunDir, dir)
	in, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// freeIndex is the number of an interface that no machine has.
const freeIndex = 1<<30 + 7

func TestInterfaceBelongsToOneInstanceWhateverItsNameAndRunFolder(t *testing.T) {
	first, second := instanceIn(t, "first"), instanceIn(t, "second")
	index := freeIndex + os.Getpid()
	claim, err := first.ClaimInterface(index, "eth7")
	if err != nil {
		t.Fatal(err)
	}
	_, err = second.ClaimInterface(index, "eth7")
	var held *DeviceError
	if !errors.As(err, &held) || !errors.Is(err, ErrRunning) || held.Instance != "first" || held.PID != os.Getpid() {
		t.Fatalf("second claim: %v", err)
	}
	for _, want := range []string{"eth7", `"first"`, "pid"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not name %s", err, want)
		}
	}
	other, err := second.ClaimInterface(index+1, "eth8")
	if err != nil {
		t.Fatalf("another interface: %v", err)
	}
	other.Release()
	claim.Release()
	again, err := second.ClaimInterface(index, "eth7")
	if err != nil {
		t.Fatalf("after the release: %v", err)
	}
	again.Release()
}

func TestInterfaceIsAskedForWithoutBeingClaimed(t *testing.T) {
	in, index := instanceIn(t, "first"), freeIndex+os.Getpid()
	if err := CheckInterface(index, "eth7"); err != nil {
		t.Errorf("nobody has it: %v", err)
	}
	claim, err := in.ClaimInterface(index, "eth7")
	if err != nil {
		t.Fatal(err)
	}
	var held *DeviceError
	if err := CheckInterface(index, "eth7"); !errors.As(err, &held) || held.Instance != "first" || held.PID != os.Getpid() {
		t.Errorf("first has it: %v", err)
	}
	claim.Release()
	if err := CheckInterface(index, "eth7"); err != nil {
		t.Errorf("it is given up: %v", err)
	}
}

func TestPCIDeviceBelongsToOneInstance(t *testing.T) {
	first, second := instanceIn(t, "first"), instanceIn(t, "second")
	claim, err := first.ClaimPCI("fffe:ff:1f.7")
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release()
	if _, err := second.ClaimPCI("fffe:ff:1f.7"); err == nil || !strings.Contains(err.Error(), "fffe:ff:1f.7") {
		t.Errorf("second claim: %v", err)
	}
}

func TestClaimOfAStrangerIsRefusedWithoutAName(t *testing.T) {
	in := instanceIn(t, "first")
	fd, err := bindAbstract(devicePrefix + "interface/1073741999")
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_, err = in.ClaimInterface(1073741999, "eth9")
	var held *DeviceError
	if !errors.As(err, &held) || held.Instance != "" || !strings.Contains(err.Error(), "another gateway") {
		t.Errorf("got %v", err)
	}
}

func TestSameNumberInAnotherNamespaceIsAnotherInterface(t *testing.T) {
	testenv.NeedRoot(t)
	first, second := instanceIn(t, "first"), instanceIn(t, "second")
	claim, err := first.ClaimInterface(freeIndex, "eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release()
	testenv.InNetNS(t, testenv.NewNetNS(t), func() {
		c, err := second.ClaimInterface(freeIndex, "eth0")
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Release()
		if _, err := first.ClaimInterface(freeIndex, "eth0"); err == nil || !strings.Contains(err.Error(), `"second"`) {
			t.Errorf("within the namespace: %v", err)
		}
	})
}
