//go:build dpdk && cgo

package dpdk

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"linecrypt/bench/testenv"
	"linecrypt/dataplane/mbuf"
	"linecrypt/dataplane/port"
)

func TestOpenWithoutRightsNamesThem(t *testing.T) {
	dev, _ := testenv.Veth(t, "", "")
	testenv.WithCapabilities(t, 1<<unix.CAP_NET_RAW, func() {
		_, err := Open(vdev("net_af_xdp", ",iface="+dev), port.Config{Queues: 1, Caches: []*mbuf.Cache{mbuf.NewCache(testPool)}})
		if err == nil || !strings.Contains(err.Error(), "CAP_NET_ADMIN and CAP_BPF") {
			t.Errorf("got %v", err)
		}
	})
}
