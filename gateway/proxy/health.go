package proxy

import (
	"context"
	"io"
	"net/http"
	"time"
)

// outcome is what an active check found.
type outcome int

const (
	passed outcome = iota
	failed         // it answers, but says no
	silent         // it does not answer
)

// start begins the active checks of all endpoints, if there are any, until close.
func (u *upstream) start(changed func(u *upstream, e *endpoint, healthy bool)) {
	if u.check.Path == "" {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	u.stop = cancel
	for _, e := range u.endpoints {
		c := &checker{upstream: u, endpoint: e, changed: changed, client: &http.Client{
			// a connection of its own each time: an idle one says nothing about the next
			Transport:     newTransport(time.Duration(u.check.Timeout)).once(),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
		u.checks.Go(func() { c.run(ctx) })
	}
}

// checker checks one endpoint.
type checker struct {
	upstream  *upstream
	endpoint  *endpoint
	client    *http.Client
	good, bad int // checks in a row
	changed   func(u *upstream, e *endpoint, healthy bool)
}

func (c *checker) run(ctx context.Context) {
	ticker := time.NewTicker(time.Duration(c.upstream.check.Interval))
	defer ticker.Stop()
	for {
		if o := c.check(ctx); ctx.Err() == nil {
			c.note(o)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// check asks once. Any answer below 400 passes.
func (c *checker) check(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.upstream.check.Timeout))
	defer cancel()
	target := c.endpoint.url.Scheme + "://" + c.endpoint.url.Host + c.upstream.check.Path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return failed
	}
	req.Header.Set("User-Agent", "gwdr-health")
	resp, err := c.client.Do(req)
	if err != nil {
		return silent
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)); err != nil {
		return silent
	}
	if resp.StatusCode >= 400 {
		return failed
	}
	return passed
}

// note counts the outcome and, at a threshold, changes the endpoint's health. Requests that wait for an endpoint which
// fell silent are told to go elsewhere, if there is an elsewhere; one that says no may still finish what it has begun.
func (c *checker) note(o outcome) {
	e := c.endpoint
	if o == passed {
		c.good, c.bad = c.good+1, 0
		if c.good < c.upstream.check.Healthy {
			return
		}
		c.upstream.worked(e)
		if e.setHealthy(true) {
			c.changed(c.upstream, e, true)
		}
		return
	}
	c.good, c.bad = 0, c.bad+1
	if c.bad < c.upstream.check.Unhealthy {
		return
	}
	if e.setHealthy(false) {
		c.changed(c.upstream, e, false)
	}
	if o == silent && c.upstream.hasOther(e) {
		e.lose()
	}
}
