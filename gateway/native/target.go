package native

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"gwdr/gateway"
)

// Export reads the whole configuration at one revision.
func (c *Client) Export(ctx context.Context) (*gateway.Export, error) {
	h, s, err := c.State(ctx)
	if err != nil {
		return nil, err
	}
	return &gateway.Export{State: s, Store: h.Store, Revision: h.Revision, Time: h.Time}, nil
}

// Apply makes the changes as a restore: without a look at references, and ending a blank store's wait.
func (c *Client) Apply(ctx context.Context, changes []gateway.Change) error {
	_, err := c.ApplyBulk(ctx, changes, gateway.Bulk{Restore: true})
	return err
}

// ApplyBulk makes the changes in order, at once as long as they are no more than store.SwitchOps, and returns the revision of
// the last. The error
// wraps *gateway.PartialError when some were made, and gateway.ErrConflict when the store has moved on since b.Base.
func (c *Client) ApplyBulk(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (revision int64, err error) {
	header := http.Header{"Content-Type": {"application/x-ndjson"}, "X-Gwdr-Processing": {"true"}}
	if b.Restore {
		header.Set("X-Gwdr-Restore", "true")
	}
	if b.Base != 0 {
		header.Set("X-Gwdr-Base-Revision", strconv.FormatInt(b.Base, 10))
	}
	body, w := io.Pipe()
	defer body.Close() // ends the writer if the request never read all of it
	go func() { w.CloseWithError(gateway.WriteChanges(w, changes)) }()
	var answer struct {
		Revision int64 `json:"revision"`
	}
	err = c.call(ctx, request{method: http.MethodPost, path: "/v1/apply", header: header, body: body}, nil, &answer)
	if refused := (*Error)(nil); errors.As(err, &refused) && refused.Applied > 0 {
		err = &gateway.PartialError{Applied: refused.Applied, Err: err}
	}
	return answer.Revision, err
}

// Revocations returns all revocations that the instance knows, and when it had read them: of a data plane, also those that its
// store has lost.
func (c *Client) Revocations(ctx context.Context) ([]gateway.Entity, time.Time, error) {
	h, s, err := c.state(ctx, "?kind="+string(gateway.Revocation))
	if err != nil {
		return nil, time.Time{}, err
	}
	return slices.Collect(s.Kind(gateway.Revocation)), h.Time, nil
}

// Status returns what the instance says about itself, with the digest and counts of its configuration.
func (c *Client) Status(ctx context.Context) (gateway.Status, error) {
	var s gateway.Status
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/status"}, nil, &s)
	return s, err
}

// Brief returns the Status without what costs time: digest and counts.
func (c *Client) Brief(ctx context.Context) (gateway.Status, error) {
	var s gateway.Status
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/status?brief=true"}, nil, &s)
	return s, err
}

// Endpoint is one address that a data plane passes requests on to.
type Endpoint struct {
	Upstream string `json:"upstream"`
	URL      string `json:"url"`
	Priority int    `json:"priority"`
	Healthy  bool   `json:"healthy"` // requests are sent to it
}

// Endpoints returns how the endpoints of a data plane's upstreams fare.
func (c *Client) Endpoints(ctx context.Context) ([]Endpoint, error) {
	var s struct {
		Data struct {
			Endpoints []Endpoint `json:"endpoints"`
		} `json:"data"`
	}
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/status?brief=true"}, nil, &s)
	return s.Data.Endpoints, err
}

// Promote makes the control plane the leader of a new epoch, and returns that epoch. On a leader it changes nothing.
func (c *Client) Promote(ctx context.Context) (epoch int64, err error) {
	var answer struct {
		Epoch int64 `json:"epoch"`
	}
	err = c.call(ctx, request{method: http.MethodPost, path: "/v1/promote"}, nil, &answer)
	return answer.Epoch, err
}

// ImportOpenAPI stores the document as the spec and makes a route to the upstream for each of its operations. It returns
// the number of routes. host may be empty: any.
func (c *Client) ImportOpenAPI(ctx context.Context, spec, upstream, host string, document []byte) (routes int, err error) {
	query := url.Values{"id": {spec}, "upstream": {upstream}}
	if host != "" {
		query.Set("host", host)
	}
	var answer struct {
		Routes int `json:"routes"`
	}
	err = c.call(ctx, request{method: http.MethodPost, path: "/v1/import/openapi?" + query.Encode()}, document, &answer)
	return answer.Routes, err
}
