package native

import (
	"bufio"
	"context"
	"encoding/json"
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

// State reads the whole configuration at the header's revision.
func (c *Client) State(ctx context.Context) (gateway.Header, *gateway.State, error) {
	return c.state(ctx, "")
}

func (c *Client) state(ctx context.Context, query string) (gateway.Header, *gateway.State, error) {
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/state" + query})
	if err != nil {
		return gateway.Header{}, nil, err
	}
	defer resp.Body.Close()
	h, s, err := gateway.ReadStream(resp.Body)
	if err != nil {
		return gateway.Header{}, nil, fmt.Errorf("read %s/v1/state: %w", c, err)
	}
	return h, s, nil
}

// Watch calls each for every revision after from that changed something, in order, and without changes at least each
// second. It always returns an error: that of ctx or of each, one that wraps gateway.ErrCompacted if State must be read
// anew, or whatever broke the stream, silence included.
func (c *Client) Watch(ctx context.Context, from int64, each func(gateway.Batch) error) error {
	return c.watch(ctx, from, "", each)
}

// watch is Watch of the store with the given id, or of whatever store is there if the id is empty.
func (c *Client) watch(ctx context.Context, from int64, store string, each func(gateway.Batch) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	alarm := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer alarm.Stop()
	query := url.Values{"from": {strconv.FormatInt(from, 10)}}
	if store != "" {
		query.Set("store", store)
	}
	resp, err := c.send(ctx, request{method: http.MethodGet, path: "/v1/watch?" + query.Encode()})
	if err == nil {
		defer resp.Body.Close()
		alive := func() { alarm.Reset(silence) }
		if err = readWatch(resp.Body, alive, each); err == nil {
			err = io.ErrUnexpectedEOF
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("watch %s: %w", c, err)
}

// readWatch reads the header line and then batches. alive is called for each line.
func readWatch(r io.Reader, alive func(), each func(gateway.Batch) error) error {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	var h gateway.Header
	if err := dec.Decode(&h); err != nil {
		return fmt.Errorf("read header: %w", err)
	}
	for {
		alive()
		var b gateway.Batch
		if err := dec.Decode(&b); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read batch: %w", err)
		}
		if err := each(b); err != nil {
			return err
		}
	}
}

// Follower reads a gateway's State and then watches that same store: when another one has taken its place meanwhile, Watch
// says so instead of counting revisions of the one in the other. Use it from one goroutine at a time.
type Follower struct {
	Client Client
	store  string
}

// State reads the whole configuration, and remembers whose it is.
func (f *Follower) State(ctx context.Context) (gateway.Header, *gateway.State, error) {
	h, s, err := f.Client.State(ctx)
	f.store = h.Store
	return h, s, err
}

// Watch is Client.Watch of the store that State read last. The error wraps gateway.ErrCompacted if that is gone.
func (f *Follower) Watch(ctx context.Context, from int64, each func(gateway.Batch) error) error {
	return f.Client.watch(ctx, from, f.store, each)
}

// Resume makes Watch continue with the given store, without a State before.
func (f *Follower) Resume(store string) { f.store = store }
