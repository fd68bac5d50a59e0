package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// watched returns a dialer whose connections fail once nothing has moved on them for the limit: a network that swallows
// everything says nothing, and TCP itself takes a quarter of an hour to give up an upload.
func watched(dial func(context.Context, string, string) (net.Conn, error), limit time.Duration) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &watchedConn{conn, limit}, nil
	}
}

// watchedConn moves its deadlines along with what it transfers.
type watchedConn struct {
	net.Conn
	limit time.Duration
}

func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

// Write gives the read that waits for the answer its time anew, before and after: the answer comes after the request.
func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err == nil {
		err = c.SetReadDeadline(time.Now().Add(c.limit))
	}
	return n, c.explain(err)
}

func (c *watchedConn) explain(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &stalledError{c.limit, err}
	}
	return err
}

// stalledError is a net.Error, so that everybody sees that it is a timeout.
type stalledError struct {
	limit time.Duration
	err   error
}

func (e *stalledError) Error() string {
	return fmt.Sprintf("nothing moved on the connection for %s", e.limit)
}
func (e *stalledError) Unwrap() error   { return e.err }
func (e *stalledError) Timeout() bool   { return true }
func (e *stalledError) Temporary() bool { return true }
