package metrics

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// ErrTaken is wrapped by the error of Listen about an address that another program has.
var ErrTaken = errors.New("address is in use by another program")

// Listen opens the socket at which metrics are served; address is host:port.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("metrics at %s: %w", address, ErrTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("metrics at %s: %w", address, err)
	}
	return l, nil
}
