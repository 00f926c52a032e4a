package netif

import (
	"strings"
	"testing"

	"linecrypt/bench/testenv"
)

func TestOffloadHintNamesTheInterfaceAndItsPeer(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	a, _ := testenv.Veth(t, ns, "")
	if hint := h.OffloadHint(a); !strings.HasPrefix(hint, "ethtool -K "+a+" tx off tso off gso off gro off") || !strings.Contains(hint, "peer") {
		t.Errorf("hint %q", hint)
	}
	if h.RxQueues("lc-missing") != 1 {
		t.Error("a missing interface has queues")
	}
}

func TestReceiveQueuesInUseAreCounted(t *testing.T) {
	testenv.NeedRoot(t)
	ns := testenv.NewNetNS(t)
	h := handleIn(t, ns)
	testenv.RunIn(t, ns, "ip", "link", "add", "many", "numrxqueues", "4", "numtxqueues", "4", "type", "veth", "peer", "name", "far")
	for _, n := range []string{"4", "2"} {
		testenv.RunIn(t, ns, "ethtool", "-L", "many", "rx", n, "tx", n)
		if got := h.RxQueues("many"); got != int(n[0]-'0') {
			t.Errorf("%d queues, not %s", got, n)
		}
	}
}
