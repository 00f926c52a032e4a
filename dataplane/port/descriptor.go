package port

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Descriptor is a file descriptor that keeps its number while what it stands for is replaced, so that a worker may sleep on it
// meanwhile. It implements Waiter.
type Descriptor struct{ fd int }

// NewDescriptor returns one that stands for nothing: it never polls readable.
func NewDescriptor() (*Descriptor, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &Descriptor{fd: fd}, nil
}

// Fd implements Waiter.
func (d *Descriptor) Fd() int { return d.fd }

// Watch makes it stand for fds: it polls readable when one of them does. It does not own them, but keeps what they refer to open
// until it stands for something else.
func (d *Descriptor) Watch(fds ...int) error {
	var target int
	var err error
	switch len(fds) {
	case 0:
		target, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	case 1:
		target = fds[0]
	default:
		target, err = epollOf(fds)
	}
	if err == nil {
		err = unix.Dup3(target, d.fd, unix.O_CLOEXEC)
	}
	if len(fds) != 1 && target >= 0 {
		err = errors.Join(err, unix.Close(target))
	}
	if err != nil {
		return fmt.Errorf("descriptor to wait with: %w", err)
	}
	return nil
}

func epollOf(fds []int) (int, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return -1, err
	}
	for _, fd := range fds {
		if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
			return -1, errors.Join(err, unix.Close(ep))
		}
	}
	return ep, nil
}

// Close releases it.
func (d *Descriptor) Close() error {
	if d == nil || d.fd < 0 {
		return nil
	}
	fd := d.fd
	d.fd = -1
	return unix.Close(fd)
}
