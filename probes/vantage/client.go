package vantage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gwdr/probes"
)

// The time limits of what a controller asks an agent.
const (
	dialLimit   = 5 * time.Second
	askLimit    = 10 * time.Second
	beatEvery   = 2 * time.Second
	leastBeat   = 100 * time.Millisecond // an agent cannot ask for more
	beatLimit   = 2 * time.Second
	firstReads  = 8 // of the clock, before anything is measured
	maxResponse = 64 << 10
)

// Client talks to an agent.
type Client struct {
	URL   string // https, or http on the loopback
	Token string
}

// StatusError is an agent's refusal.
type StatusError struct {
	Status int
	Text   string
}

// Error repeats what the agent said, or the status if it said nothing.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("it answers %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Text
}

// CheckURL returns an error unless u may be trusted with a token: anything but the loopback needs TLS.
func CheckURL(u *url.URL) error {
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	switch {
	case u.Host == "" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the URL of an agent is of the form https://HOST:PORT")
	case u.Scheme == "http" && !loopback:
		return fmt.Errorf("http://%s is another machine: without TLS, token and headers could be read on the way", u.Host)
	}
	return nil
}

// Session is a plan that an agent carries out. Only one goroutine may Run it.
type Session struct {
	client *Client
	http   *http.Client
	opened Opened
	tool   string
	series map[string]bool
	drain  time.Duration // how long attempts in flight may take
	reads  []read
}

// read is a reading of the agent's clock.
type read struct {
	sent, received time.Time
	clock          Clock
}

// Open makes the agent carry out the plan, and reads its clock. The probing lasts until Run or Close ends it, or until the
// agent's lease does. An error says that nothing is probed, or for no longer than the lease: a *VersionError or *StatusError
// if the agent refused.
func (c *Client) Open(ctx context.Context, p *Plan) (*Session, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("open session: malformed URL of the agent")
	}
	if err := CheckURL(u); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	s := &Session{client: c, http: newHTTP(), series: map[string]bool{}}
	if err := s.open(ctx, p); err != nil {
		s.http.CloseIdleConnections()
		return nil, fmt.Errorf("open session at %s: %w", u.Host, err)
	}
	return s, nil
}

// newHTTP returns a client that speaks HTTP/1.1, so that a reading of the clock does not queue behind samples, and that
// takes its token nowhere else: neither to a proxy nor to where a redirect leads.
func newHTTP() *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Client{
		Transport: &http.Transport{
			DialContext: (&net.Dialer{Timeout: dialLimit}).DialContext, Protocols: &protocols,
			TLSHandshakeTimeout: dialLimit, ResponseHeaderTimeout: askLimit, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (s *Session) open(ctx context.Context, p *Plan) error {
	var hello Hello
	if err := s.ask(ctx, http.MethodGet, "/v1", nil, &hello); err != nil {
		return err
	}
	if hello.Schema != Schema { // before it is told anything
		return &VersionError{Mine: Schema, Other: hello.Schema}
	}
	if err := s.ask(ctx, http.MethodPost, "/v1/sessions", p, &s.opened); err != nil {
		return err
	}
	s.tool = hello.Tool
	for _, series := range p.Series {
		s.series[series.Name] = true
		s.drain = max(s.drain, series.Timeout)
	}
	for range firstReads {
		r, err := s.read(ctx, 0)
		if err != nil {
			return errors.Join(err, s.Close(ctx))
		}
		s.reads = append(s.reads, r)
	}
	return nil
}

// Control is the URL of the agent's own control target.
func (s *Session) Control() string { return s.opened.Control }

// Tool is what the agent calls itself.
func (s *Session) Tool() string { return s.tool }

// Keep keeps the agent's lease until ctx ends, for a session that cannot be Run yet: others are still being opened.
func (s *Session) Keep(ctx context.Context) {
	for pause(ctx, s.beatEvery()) {
		_, _ = s.read(ctx, 0) // Run tells whether the agent is gone
	}
}

// beatEvery is so short that a lease outlives a beat that is lost.
func (s *Session) beatEvery() time.Duration {
	return min(beatEvery, max(s.opened.Lease/4, leastBeat))
}

// Close makes the agent end the probing, for a session that is never Run.
func (s *Session) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatLimit)
	defer cancel()
	defer s.http.CloseIdleConnections()
	return s.ask(ctx, http.MethodDelete, s.path(""), nil, nil)
}

func (s *Session) path(rest string) string {
	return "/v1/sessions/" + url.PathEscape(s.opened.ID) + rest
}

// read reads the agent's clock, and says how many samples were taken.
func (s *Session) read(ctx context.Context, taken int64) (read, error) {
	ctx, cancel := context.WithTimeout(ctx, beatLimit)
	defer cancel()
	r := read{sent: time.Now()}
	err := s.ask(ctx, http.MethodPost, s.path("/clock"), Beat{Received: taken}, &r.clock)
	r.received = time.Now()
	return r, err
}

// exchange places the reading on our clock, which began at t0.
func (r read) exchange(t0 time.Time) probes.Exchange {
	return probes.Exchange{Sent: r.sent.Sub(t0), Read: r.clock.Now, Received: r.received.Sub(t0)}
}

// ask sends in, and reads the answer into out unless that is nil.
func (s *Session) ask(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	response, err := s.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return nil
}

// send returns an answer that is a success.
func (s *Session) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(s.client.URL, "/")+path, &body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.client.Token)
	response, err := s.http.Do(request)
	if failed := (*url.Error)(nil); errors.As(err, &failed) { // whose text is mostly the URL
		return nil, failed.Err
	} else if err != nil {
		return nil, err
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxResponse)) // what there is
	refused := &StatusError{Status: response.StatusCode}
	var said problem
	if json.Unmarshal(text, &said) == nil {
		refused.Text = said.Error
	}
	return nil, refused
}
