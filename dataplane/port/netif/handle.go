package netif

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNone is returned when there is no interface of that name or number.
var ErrNone = errors.New("no such interface in this network namespace")

// Handle asks about the interfaces of one network namespace. It is safe for concurrent use. Its questions may have to wait for
// others who change interfaces, so nobody who must not wait asks them.
type Handle struct {
	mu     sync.Mutex
	route  int // rtnetlink socket
	ctl    int // socket for ioctl
	seq    uint32
	buffer []byte
}

// bufferSize is what the kernel fills at most in one piece of a dump.
const bufferSize = 64 << 10

// Open returns a handle on the network namespace of the calling thread.
func Open() (*Handle, error) {
	h := &Handle{route: -1, ctl: -1, buffer: make([]byte, bufferSize)}
	var err error
	if h.route, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err == nil {
		// An answer that does not come is a fault of the kernel; it must not stop the process.
		err = unix.SetsockoptTimeval(h.route, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 10})
	}
	if err == nil {
		h.ctl, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sockets to ask about interfaces: %w", err), h.Close())
	}
	return h, nil
}

// Close ends the handle.
func (h *Handle) Close() error {
	var errs []error
	for _, fd := range []*int{&h.route, &h.ctl} {
		if *fd >= 0 {
			errs = append(errs, unix.Close(*fd))
			*fd = -1
		}
	}
	return errors.Join(errs...)
}

// ByName returns the interface of that name, which may be an alternative one. The error wraps ErrNone where there is none.
func (h *Handle) ByName(name string) (Interface, error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return Interface{}, fmt.Errorf("%w: a name has 1 to %d bytes", ErrNone, unix.IFNAMSIZ-1)
	}
	i, err := h.one(0, attribute(nil, unix.IFLA_IFNAME, append([]byte(name), 0)))
	if errors.Is(err, ErrNone) {
		i, err = h.one(0, attribute(nil, unix.IFLA_ALT_IFNAME, append([]byte(name), 0)))
	}
	return i, err
}

// ByIndex returns the interface of that number. The error wraps ErrNone where there is none.
func (h *Handle) ByIndex(index int) (Interface, error) {
	if index <= 0 {
		return Interface{}, ErrNone
	}
	return h.one(index, nil)
}

// Find returns the interface of that name, or, where it was only renamed, the one of that number; 0 is none. The error wraps ErrNone where
// there is neither.
func (h *Handle) Find(name string, index int) (Interface, error) {
	i, err := h.ByName(name)
	if errors.Is(err, ErrNone) {
		return h.ByIndex(index)
	}
	return i, err
}

// RetryEvery is how long a port lets pass before it tries again to attach to an interface that it could not attach to.
const RetryEvery = time.Second

func (h *Handle) one(index int, attrs []byte) (Interface, error) {
	var found Interface
	ok := false
	err := h.ask(unix.RTM_GETLINK, 0, linkRequest(index, attrs), func(kind uint16, body []byte) {
		if kind == unix.RTM_NEWLINK {
			found, ok = parseInterface(body)
		}
	})
	switch {
	case errors.Is(err, unix.ENODEV):
		return Interface{}, ErrNone
	case err != nil:
		return Interface{}, fmt.Errorf("ask about an interface: %w", err)
	case !ok:
		return Interface{}, errors.New("ask about an interface: the answer names none")
	}
	return found, nil
}

// All returns the interfaces of the namespace.
func (h *Handle) All() ([]Interface, error) {
	var all []Interface
	err := h.ask(unix.RTM_GETLINK, unix.NLM_F_DUMP, linkRequest(0, nil), func(kind uint16, body []byte) {
		if i, ok := parseInterface(body); ok && kind == unix.RTM_NEWLINK {
			all = append(all, i)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("ask for all interfaces: %w", err)
	}
	return all, nil
}

// rtextSkipStats is RTEXT_FILTER_SKIP_STATS: counters are not wanted.
const rtextSkipStats = 1 << 3

// linkRequest is the body of a RTM_GETLINK message.
func linkRequest(index int, attrs []byte) []byte {
	body := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(body[4:], uint32(index))
	body = attribute(body, unix.IFLA_EXT_MASK, binary.NativeEndian.AppendUint32(nil, rtextSkipStats))
	return append(body, attrs...)
}

// ask sends one request and calls each for every message of its answer; the body is valid until each returns.
func (h *Handle) ask(kind, flags uint16, body []byte, each func(kind uint16, body []byte)) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seq++
	msg := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(body))
	binary.NativeEndian.PutUint32(msg, uint32(unix.SizeofNlMsghdr+len(body)))
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK|flags)
	binary.NativeEndian.PutUint32(msg[8:], h.seq)
	if err := unix.Sendto(h.route, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	for {
		n, _, err := unix.Recvfrom(h.route, h.buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		if done, err := h.messages(h.buffer[:n], each); done || err != nil {
			return err
		}
	}
}

// messages goes through one piece of the answer to the last request, and reports whether that was its end.
func (h *Handle) messages(b []byte, each func(kind uint16, body []byte)) (bool, error) {
	for len(b) >= unix.SizeofNlMsghdr {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return false, errors.New("malformed answer")
		}
		kind, seq, body := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:length]
		b = b[min(align(length), len(b)):]
		switch {
		case seq != h.seq:
			// What is left of an answer that was not waited for to the end.
		case kind == unix.NLMSG_DONE:
			return true, nil
		case kind == unix.NLMSG_ERROR:
			// The acknowledgement, which is an error of 0, ends an answer that is not a dump.
			if len(body) < 4 {
				return false, errors.New("malformed answer")
			}
			if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		default:
			each(kind, body)
		}
	}
	return false, nil
}

// attribute appends a netlink attribute.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func align(n int) int { return (n + 3) &^ 3 }
