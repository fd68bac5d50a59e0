package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"gwdr/gateway"
)

// stall ends the read of a stream when nothing arrives for so long.
const stall = 30 * time.Second

// errStalled is the cause of that end.
var errStalled = errors.New("stream is stalled")

// Stream implements gateway.Streamer.
func (c *Client) Stream(ctx context.Context, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	return c.read(ctx, "/v1/state", func(r io.Reader) error { return gateway.ReadEntities(r, begin, each) })
}

// State reads the whole configuration at the header's revision.
func (c *Client) State(ctx context.Context) (gateway.Header, *gateway.State, error) {
	return c.state(ctx, "")
}

func (c *Client) state(ctx context.Context, query string) (h gateway.Header, s *gateway.State, err error) {
	err = c.read(ctx, "/v1/state"+query, func(r io.Reader) error {
		h, s, err = gateway.ReadStream(r)
		return err
	})
	return h, s, err
}

// read hands the answer to f. f may take as long as it likes; it is the gateway that may not.
func (c *Client) read(ctx context.Context, path string, f func(io.Reader) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.send(ctx, request{method: http.MethodGet, path: path})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	alarm := time.AfterFunc(stall, func() { cancel(errStalled) })
	defer alarm.Stop()
	if err = f(&watched{resp.Body, alarm}); err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("read %s%s: %w", c, path, err)
}

// watched is a reader whose alarm goes off when a read takes too long.
type watched struct {
	io.Reader
	alarm *time.Timer
}

func (w *watched) Read(p []byte) (int, error) {
	w.alarm.Reset(stall)
	defer w.alarm.Stop()
	return w.Reader.Read(p)
}
