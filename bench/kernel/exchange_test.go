package kernel

import (
	"errors"
	"fmt"
	"io"
	"net"

	"linecrypt/bench/pattern"
)

// send writes n bytes of a new stream and, with end, closes the direction. It returns the stream's number at once and the
// error when it is done.
func send(c *net.TCPConn, n int64, end bool) (stream uint32, done <-chan error) {
	stream = streams.Add(1)
	ch := make(chan error, 1)
	go func() {
		// A plain writer's interface keeps io.Copy from giving the connection a chance to choose the pieces.
		_, err := io.Copy(struct{ io.Writer }{c}, &pattern.Reader{Stream: stream, Left: n})
		if err == nil && end {
			err = c.CloseWrite()
		}
		if err != nil {
			err = fmt.Errorf("send stream %d: %w", stream, err)
		}
		ch <- err
	}()
	return stream, ch
}

// receive reads n bytes and verifies each of them. With end, the end of the stream must follow, and nothing else.
func receive(c *net.TCPConn, stream uint32, n int64, end bool) error {
	v := &pattern.Verifier{Stream: stream}
	var r io.Reader = c
	if !end {
		r = io.LimitReader(c, n)
	}
	_, err := io.Copy(v, r)
	if err == nil && v.Offset != n {
		err = fmt.Errorf("%d of %d bytes", v.Offset, n)
	}
	if err != nil {
		return fmt.Errorf("receive stream %d at byte %d: %w", stream, v.Offset, err)
	}
	return nil
}

// exchange sends up bytes from client to server and down bytes back at the same time, and verifies them. With end, both
// close their direction.
func exchange(client, srv *net.TCPConn, up, down int64, end bool) error {
	upStream, sentUp := send(client, up, end)
	downStream, sentDown := send(srv, down, end)
	gotUp := make(chan error, 1)
	go func() { gotUp <- receive(srv, upStream, up, end) }()
	gotDown := receive(client, downStream, down, end)
	return errors.Join(<-sentUp, <-sentDown, <-gotUp, gotDown)
}
