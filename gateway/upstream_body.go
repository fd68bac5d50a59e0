package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// UpstreamBody is the body of an Upstream of the bundled gateway.
type UpstreamBody struct {
	Endpoints      []Endpoint  `json:"endpoints"`
	Balance        string      `json:"balance,omitempty"` // "round-robin" (default) or "failover"
	Health         HealthCheck `json:"health,omitzero"`
	Retries        int         `json:"retries,omitempty"`         // further attempts of an idempotent request; 0 means 2, -1 none
	ConnectTimeout Duration    `json:"connect_timeout,omitempty"` // 0 means 1s
	Timeout        Duration    `json:"timeout,omitempty"`         // to the response header; 0 means 30s
}

// The values of UpstreamBody.Balance.
const (
	RoundRobin = "round-robin"
	Failover   = "failover"
)

// Endpoint is one address of an Upstream.
type Endpoint struct {
	URL      string `json:"url"`                // scheme://host:port
	Priority int    `json:"priority,omitempty"` // failover: the lowest priority that has a healthy endpoint serves
}

// HealthCheck is an active check: GET Path of each endpoint. Without a Path there is none.
type HealthCheck struct {
	Path      string   `json:"path,omitempty"`
	Interval  Duration `json:"interval,omitempty"`  // 0 means 1s
	Timeout   Duration `json:"timeout,omitempty"`   // 0 means Interval
	Unhealthy int      `json:"unhealthy,omitempty"` // failures in a row; 0 means 2
	Healthy   int      `json:"healthy,omitempty"`   // successes in a row; 0 means 1
}

// WithDefaults returns the check with what is zero replaced by what that means.
func (c HealthCheck) WithDefaults() HealthCheck {
	c.Interval = cmp.Or(c.Interval, Duration(time.Second))
	c.Timeout = cmp.Or(c.Timeout, c.Interval)
	c.Unhealthy = cmp.Or(c.Unhealthy, 2)
	c.Healthy = cmp.Or(c.Healthy, 1)
	return c
}

// Repeats returns how many further attempts an idempotent request has.
func (b UpstreamBody) Repeats() int { return max(cmp.Or(b.Retries, 2), 0) }

// BrokenLimit is after how many requests in a row that broke on their way the bundled gateway passes an endpoint over for a
// while; one that cannot be connected to at all is passed over at once.
const BrokenLimit = 3

// Check reports why the upstream cannot work. Without endpoints it answers 503, which is no error.
func (b *UpstreamBody) Check() error {
	for i, e := range b.Endpoints {
		u, err := url.Parse(e.URL)
		if err != nil { // it would repeat a password
			return fmt.Errorf("endpoint %d is not a URL", i+1)
		}
		if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			return fmt.Errorf("endpoint %q is not of the form http://host:port", u.Redacted())
		}
		if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("endpoint %q has more than scheme, host and port", u.Redacted())
		}
	}
	if b.Balance != "" && b.Balance != RoundRobin && b.Balance != Failover {
		return fmt.Errorf("balance must be %q or %q, not %q", RoundRobin, Failover, b.Balance)
	}
	if b.Retries < -1 || b.Retries > 10 {
		return fmt.Errorf("retries must be -1 to 10, not %d", b.Retries)
	}
	return b.Health.check()
}

func (c HealthCheck) check() error {
	if c.Path == "" {
		return nil
	}
	if u, err := url.ParseRequestURI(c.Path); err != nil || !strings.HasPrefix(c.Path, "/") || u.Host != "" {
		return fmt.Errorf("health path %q is not a path", c.Path)
	}
	if c.Healthy < 0 || c.Unhealthy < 0 {
		return errors.New("health thresholds cannot be negative")
	}
	return nil
}
