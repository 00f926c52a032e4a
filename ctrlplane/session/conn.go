package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Of returns the session of a TCP connection of this process, which may be wrapped, as in a tls.Conn. It opens what it needs and closes
// it again.
func Of(c net.Conn) (Session, error) {
	f, err := Open()
	if err != nil {
		return Session{}, err
	}
	defer f.Close()
	return f.Of(c)
}

// Lookup returns the session of the connection between two addresses: see Finder.Lookup.
func Lookup(local, remote netip.AddrPort) (Session, error) {
	f, err := Open()
	if err != nil {
		return Session{}, err
	}
	defer f.Close()
	return f.Lookup(local, remote)
}

// Wait returns the session of the connection between two addresses once it exists: see Finder.Wait.
func Wait(ctx context.Context, local, remote netip.AddrPort) (Session, error) {
	f, err := Open()
	if err != nil {
		return Session{}, err
	}
	defer f.Close()
	return f.Wait(ctx, local, remote)
}

// Of returns the session of a TCP connection of this process.
func (f *Finder) Of(c net.Conn) (Session, error) {
	local, remote, err := Addresses(c)
	if err != nil {
		return Session{}, err
	}
	return f.Lookup(local, remote)
}

// Addresses returns the two addresses of a TCP connection. The error wraps ErrNotConnected where it has none, and ErrUnknown where it is
// not one of TCP.
func Addresses(c net.Conn) (local, remote netip.AddrPort, err error) {
	if c == nil {
		return local, remote, fmt.Errorf("no connection: %w", ErrNotConnected)
	}
	if local, err = addressOf(c.LocalAddr()); err == nil {
		remote, err = addressOf(c.RemoteAddr())
	}
	return local, remote, err
}

func addressOf(a net.Addr) (netip.AddrPort, error) {
	switch t := a.(type) {
	case nil:
		return netip.AddrPort{}, fmt.Errorf("connection without an address: %w", ErrNotConnected)
	case *net.TCPAddr:
		if t == nil {
			return netip.AddrPort{}, fmt.Errorf("connection without an address: %w", ErrNotConnected)
		}
		return t.AddrPort(), nil
	}
	return netip.AddrPort{}, fmt.Errorf("%v is not a TCP address (%s): %w", a, a.Network(), ErrUnknown)
}

// Intervals of Wait.
const (
	waitFirst = 2 * time.Millisecond
	waitMost  = 250 * time.Millisecond
)

// Wait returns the session of the connection between two addresses once it exists. It waits through ErrNotConnected and ErrUnknown, and
// returns other errors at once: ErrNotEncrypted is for good. When ctx is done it returns the context's error with the last of those.
func (f *Finder) Wait(ctx context.Context, local, remote netip.AddrPort) (Session, error) {
	var last error
	for pause := waitFirst; ; pause = min(2*pause, waitMost) {
		s, err := f.find(ctx, local, remote, AnyVLAN)
		if ctx.Err() != nil && last != nil && errors.Is(err, ErrUnavailable) {
			err = last // the question was given up
		}
		last = err
		if err == nil || !errors.Is(err, ErrNotConnected) && !errors.Is(err, ErrUnknown) {
			return s, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return Session{}, fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-timer.C:
		}
	}
}

// WaitOf is Wait for a TCP connection of this process.
func (f *Finder) WaitOf(ctx context.Context, c net.Conn) (Session, error) {
	local, remote, err := Addresses(c)
	if err != nil {
		return Session{}, err
	}
	return f.Wait(ctx, local, remote)
}
