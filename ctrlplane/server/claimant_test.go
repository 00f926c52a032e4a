package server

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"linecrypt/ctrlplane/instance"
	"linecrypt/ctrlplane/session/wire"
)

// claimantVariable makes the test binary be an application that claims an address, on the applications socket that it names.
const claimantVariable = "LINECRYPT_TEST_CLAIMANT"

var claimed = netip.MustParseAddr("198.51.100.7")

// claim gives the network namespace another host's address, asks for the application-aware bit for it, and prints the answer.
func claim(path string) int {
	if out, err := exec.Command("ip", "addr", "add", claimed.String(), "dev", "lo").CombinedOutput(); err != nil {
		fmt.Println("skip:", err, string(out))
		return 0
	}
	c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	q := wire.Request{Verb: wire.SetAware, Local: wire.Endpoint{Addr: claimed.As16(), Port: 443}, Token: 1}
	b := q.Encode()
	var reply [64]byte
	n := 0
	if _, err = c.Write(b[:]); err == nil {
		n, err = c.Read(reply[:])
	}
	answer, err2 := wire.DecodeReply(reply[:n])
	fmt.Println(answer, err, err2)
	return 0
}

func TestAddressesOfANamespaceThatAnybodyMayMakeAreNotTheMachines(t *testing.T) {
	withApplications(t)
	in, err := instance.FindPublished("gw")
	if err != nil || len(in) != 1 {
		t.Fatal(in, err)
	}
	folder := filepath.Dir(in[0].Applications)
	for _, open := range []string{filepath.Dir(folder), folder} { // as for the group that session_table.group names
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(in[0].Applications, 0o666); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	uid := os.Getuid()
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), claimantVariable+"="+in[0].Applications)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	if err != nil || strings.HasPrefix(string(out), "skip:") {
		t.Skip("no user namespace here: ", err, string(out))
	}
	if got := strings.TrimSpace(string(out)); !strings.HasPrefix(got, wire.Refused.String()) {
		t.Errorf("a claim to %v: %s", claimed, got)
	}
}
