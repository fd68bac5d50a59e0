// Package native reads and writes the bundled gateway through its admin API.
package native

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"time"

	"gwdr/gateway"
)

// Client talks to one control plane, or to the admin listener of a data plane, which answers reads. It has no state: copy
// it as you like.
type Client struct {
	URL   string       // base URL of the admin API: http://host:port
	Host  string       // Host header, where it differs from the URL's host; empty: that host
	Token string       // bearer token; empty: none
	HTTP  *http.Client // nil: one with a short dial timeout, shared by all clients that name none
}

var (
	_ gateway.Source   = (*Client)(nil)
	_ gateway.Target   = (*Client)(nil)
	_ gateway.Streamer = (*Client)(nil)
	_ gateway.Tracker  = (*Client)(nil)
)

// String returns the URL, without the token.
func (c Client) String() string {
	if u, err := url.Parse(c.URL); err == nil {
		return u.Redacted()
	}
	return "(malformed URL)"
}

// GoString does what String does, for %#v.
func (c Client) GoString() string { return c.String() }

// shared is to this package what http.DefaultClient is to net/http: a pool of connections.
var shared = NewHTTP()

// NewHTTP returns an HTTP client with a connection pool of its own, for Client.HTTP. It dials for at most a second, and
// follows no redirects: they would carry the token elsewhere.
func NewHTTP() *http.Client {
	dialer := &net.Dialer{Timeout: time.Second, KeepAlive: 5 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			DialContext:         dialer.DialContext,
			TLSHandshakeTimeout: 2 * time.Second,
			IdleConnTimeout:     30 * time.Second,
			MaxIdleConnsPerHost: 16,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Error is an answer of the gateway that is not a success. It wraps the sentinel of package gateway that its code stands
// for, if there is one.
type Error struct {
	Status  int    // HTTP status
	Code    string // the API's word for the cause; empty if something else answered, such as a proxy
	Message string
	Hint    string // the next step; may be empty
	Applied int    // changes that were made nevertheless
}

// Error returns the gateway's words, or the status if it had none.
func (e *Error) Error() string {
	if e.Message == "" {
		return fmt.Sprintf("answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Message
}

// Unwrap returns the sentinel that callers branch on.
func (e *Error) Unwrap() error {
	switch e.Code {
	case "not_found":
		return gateway.ErrNotFound
	case "conflict":
		return gateway.ErrConflict
	case "not_leader":
		return gateway.ErrNotLeader
	case "compacted":
		return gateway.ErrCompacted
	case "missing":
		return gateway.ErrMissing
	}
	return nil
}

// request is one call of the API. path is escaped already.
type request struct {
	method, path string
	header       http.Header
	body         io.Reader
}

// send makes the call and returns the answer if it is a success; the caller closes its body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	resp, err := c.try(ctx, r)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) { // it repeats method and URL
			err = failed.Err
		}
		return nil, fmt.Errorf("%s %s%s: %w", strings.ToLower(r.method), c, r.path, err)
	}
	return resp, nil
}

func (c *Client) try(ctx context.Context, r request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := c.await(ctx, cancel, r)
	if err == nil && resp.StatusCode/100 == 2 {
		resp.Body = &answered{resp.Body, cancel}
		return resp, nil
	}
	defer cancel(nil)
	if err != nil {
		if errors.Is(context.Cause(ctx), errNoAnswer) {
			err = errNoAnswer
		}
		return nil, err
	}
	defer resp.Body.Close()
	return nil, readError(resp)
}

// answerWithin is how long the gateway may keep silent once it has the request. Where it works for longer, it says so by
// 102 Processing.
const answerWithin = time.Minute

var errNoAnswer = fmt.Errorf("no answer within %s", answerWithin)

// await sends the request and returns the answer's header. It calls cancel when the gateway keeps silent.
func (c *Client) await(ctx context.Context, cancel context.CancelCauseFunc, r request) (*http.Response, error) {
	alarm := time.AfterFunc(answerWithin, func() { cancel(errNoAnswer) })
	defer alarm.Stop()
	alive := func() { alarm.Reset(answerWithin) }
	if _, whole := r.body.(*bytes.Reader); r.body != nil && !whole {
		r.body = &sent{r.body, alive}
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error { alive(); return nil }})
	req, err := http.NewRequestWithContext(ctx, r.method, strings.TrimSuffix(c.URL, "/")+r.path, r.body)
	if err != nil {
		return nil, err
	}
	if r.header != nil {
		req.Header = r.header
	}
	req.Host = c.Host
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.HTTP
	if client == nil {
		client = shared
	}
	return client.Do(req)
}

// sent is the body of a request that is written piece by piece, each of which shows that the gateway is alive.
type sent struct {
	io.Reader
	alive func()
}

func (s *sent) Read(p []byte) (int, error) {
	s.alive()
	return s.Reader.Read(p)
}

// answered is the body of an answer. Its context ends with it.
type answered struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (a *answered) Close() error {
	err := a.ReadCloser.Close()
	a.cancel(nil)
	return err
}

// readError reads a problem (RFC 9457) with its "hint", "code" and "applied"; older gateways have "error" in the place of
// "detail". Anything else leaves the status alone to speak.
func readError(resp *http.Response) error {
	var body struct {
		Detail  string `json:"detail"`
		Error   string `json:"error"`
		Hint    string `json:"hint"`
		Code    string `json:"code"`
		Applied int    `json:"applied"`
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || json.Unmarshal(text, &body) != nil {
		return &Error{Status: resp.StatusCode}
	}
	return &Error{Status: resp.StatusCode, Code: body.Code, Message: cmp.Or(body.Detail, body.Error), Hint: body.Hint, Applied: body.Applied}
}

// call sends the request with the bytes as its body, and decodes the answer into out, if out is not nil.
func (c *Client) call(ctx context.Context, r request, body []byte, out any) error {
	if body != nil {
		r.body = bytes.NewReader(body)
	}
	resp, err := c.send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out != nil {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if _, drained := io.Copy(io.Discard, resp.Body); err == nil { // so that the connection is used again
		err = drained
	}
	if err != nil {
		return fmt.Errorf("%s %s%s: read answer: %w", strings.ToLower(r.method), c, r.path, err)
	}
	return nil
}
