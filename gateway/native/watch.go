package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gwdr/gateway"
)

// silence ends a watch that says nothing: the gateway speaks each second.
const silence = 4 * time.Second

// errSilent is the cause of that end.
var errSilent = errors.New("watch is silent")

// errUnbounded says that the gateway goes on with a watch that is to end.
var errUnbounded = fmt.Errorf("%w: the gateway is of a version that does not know until=now", gateway.ErrCompacted)

// Changes implements gateway.Tracker. Who cannot tell, such as a data plane without a store, or an older version, knows none.
func (c *Client) Changes(ctx context.Context, store string, from int64, each func(gateway.Batch) error) (h gateway.Header, err error) {
	path := watchPath(store, from) + "&until=now"
	err = c.read(ctx, path, func(r io.Reader) error {
		h.Revision, err = gateway.ReadWatch(r, func(begun gateway.Header) error { h = begun; return nil }, func(b gateway.Batch) error {
			if len(b.Changes) == 0 { // a heartbeat: of an older version, which would never end
				return errUnbounded
			}
			return each(b)
		})
		return err
	})
	if refused := (*Error)(nil); errors.As(err, &refused) && refused.Code == "no_endpoint" { // a data plane without a store
		err = fmt.Errorf("%w: %w", gateway.ErrCompacted, err)
	}
	if err != nil {
		return gateway.Header{}, err
	}
	return h, nil
}

// Follow implements gateway.Tracker. It always returns an error: that of ctx or of each, one that wraps gateway.ErrCompacted if
// State must be read anew, or whatever broke the stream, silence included. store may be empty: whichever is there.
func (c *Client) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	resp, err := c.send(ctx, request{method: http.MethodGet, path: watchPath(store, from)})
	if err == nil {
		defer resp.Body.Close()
		err = readWatch(resp.Body, func() { alarm.Reset(silence) }, each)
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("watch %s: %w", c, err)
}

func watchPath(store string, from int64) string {
	query := url.Values{"from": {strconv.FormatInt(from, 10)}}
	if store != "" {
		query.Set("store", store)
	}
	return "/v1/watch?" + query.Encode()
}

// readWatch reads a watch that is not to end. alive is called for each line.
func readWatch(r io.Reader, alive func(), each func(gateway.Batch) error) error {
	_, err := gateway.ReadWatch(r, func(gateway.Header) error { alive(); return nil }, func(b gateway.Batch) error {
		alive()
		return each(b)
	})
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}
