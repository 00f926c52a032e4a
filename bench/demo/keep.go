package main

import (
	"fmt"
	"os"
	"path/filepath"

	"linecrypt/bench/topology"
)

// howToPlay prints how to use what is kept.
func (d *demo) howToPlay(userNamespace bool) {
	enter := "ip netns exec "
	look := fmt.Sprintf("LINECRYPT_RUN_DIR=%s %s", d.top.RunDir(), program())
	if userNamespace {
		into := fmt.Sprintf("nsenter --preserve-credentials -U -m -n -t %d ", os.Getpid())
		enter, look = into+enter, into+"env "+look
	}
	counters := d.top.A
	if d.host {
		counters = d.top.Client
	}
	fmt.Printf("\nEverything stays up until process %d is ended:\n\n", os.Getpid())
	for _, line := range []struct{ text, command string }{
		{"a shell on the client", enter + string(d.top.Client) + " bash"},
		{"fetch the file", enter + string(d.top.Client) + fmt.Sprintf(" curl -o /dev/null http://%s:%d/file", topology.Server4, webPort)},
		{"iperf3", enter + string(d.top.Client) + " iperf3 -c " + topology.Server4},
		{"watch the wire", enter + string(d.top.Wire) + " tcpdump -ni " + topology.WireA},
		{"gateway a", look + " status --name " + d.a.Name},
		{"its sessions", look + " sessions --name " + d.a.Name},
		{"gateway b", look + " status --name " + d.b.Name},
		{"counters", enter + string(counters) + " curl -s http://127.0.0.1:9469/metrics"},
		{"tear it down", fmt.Sprintf("kill %d", os.Getpid())},
	} {
		fmt.Printf("  %-22s %s\n", line.text+":", line.command)
	}
}

func program() string {
	self, err := os.Executable()
	if err != nil {
		return "linecrypt"
	}
	return filepath.Join(filepath.Dir(self), "linecrypt")
}
