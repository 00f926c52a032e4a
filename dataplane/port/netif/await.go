package netif

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// linkPoll is how often AwaitUp looks whether the link came up.
const linkPoll = 20 * time.Millisecond

// AwaitUp returns the Ethernet interface of that name once it is up and has a carrier. After timeout it does without a carrier; only an
// interface that is still down then is an error.
func (h *Handle) AwaitUp(name string, timeout time.Duration) (Interface, error) {
	for end := time.Now().Add(timeout); ; time.Sleep(linkPoll) {
		i, err := h.ByName(name)
		if err != nil {
			return i, err
		}
		if i.Type != unix.ARPHRD_ETHER {
			return i, fmt.Errorf("not an Ethernet interface (ARP hardware type %d)", i.Type)
		}
		if i.Up() {
			return i, nil
		}
		if time.Now().Before(end) {
			continue
		}
		if i.Flags&unix.IFF_UP == 0 {
			return i, ErrDown(name)
		}
		return i, nil
	}
}

// ErrDown says that an interface is down, and what helps.
func ErrDown(name string) error {
	return fmt.Errorf("down: bring it up with `ip link set dev %s up`", name)
}
