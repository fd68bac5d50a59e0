package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// UpstreamBody is the body of an Upstream of the bundled gateway.
type UpstreamBody struct {
	Endpoints      []Endpoint  `json:"endpoints"`
	Balance        string      `json:"balance,omitempty"` // one of Balances; empty means RoundRobin
	Health         HealthCheck `json:"health,omitzero"`
	Outlier        *Outlier    `json:"outlier,omitempty"`
	Breaker        *Breaker    `json:"breaker,omitempty"` // each endpoint has one
	Bulkhead       *Bulkhead   `json:"bulkhead,omitempty"`
	AllUnhealthy   string      `json:"all_unhealthy,omitempty"`   // when no endpoint is healthy: "fail-closed" (default) or "fail-open"
	SlowStart      Duration    `json:"slow_start,omitempty"`      // for so long an endpoint that came back gets less than its share
	Retries        int         `json:"retries,omitempty"`         // further attempts of an idempotent request; 0 means 2, -1 none
	RetryBudget    int         `json:"retry_budget,omitempty"`    // retries in percent of the requests of late; 0 means 20
	HedgeAfter     Duration    `json:"hedge_after,omitempty"`     // then another endpoint is asked as well; 0 means never
	ConnectTimeout Duration    `json:"connect_timeout,omitempty"` // 0 means 1s
	Timeout        Duration    `json:"timeout,omitempty"`         // to the response header; 0 means 30s
	TotalTimeout   Duration    `json:"total_timeout,omitempty"`   // to the end of the response; 0 means none
	IdleTimeout    Duration    `json:"idle_timeout,omitempty"`    // without a byte of the response's body; 0 means none
}

// The values of UpstreamBody.Balance. Of endpoints that are equally good each gets requests by its weight, in turn.
const (
	RoundRobin       = "round-robin"       // all are equally good
	Failover         = "failover"          // the lowest priority is best
	LeastConnections = "least-connections" // the fewest requests under way, by weight
	IPHash           = "ip-hash"           // each client's address has one of its own
	Latency          = "latency"           // the quickest of late, times the requests under way, by weight
)

// Balances returns the values of UpstreamBody.Balance.
func Balances() []string { return []string{RoundRobin, Failover, LeastConnections, IPHash, Latency} }

// The values of UpstreamBody.AllUnhealthy.
const (
	FailClosed = "fail-closed" // answer 503
	FailOpen   = "fail-open"   // try them all the same
)

// H2C is the scheme of endpoints that speak HTTP/2 without TLS.
const H2C = "h2c"

// Endpoint is one address of an Upstream.
type Endpoint struct {
	URL      string `json:"url"`                // scheme://host:port; scheme http, https, or h2c: HTTP/2 without TLS, as gRPC may have it
	Priority int    `json:"priority,omitempty"` // failover: the lowest priority that has a healthy endpoint serves
	Weight   int    `json:"weight,omitempty"`   // share of the requests, 1 to 100; 0 means 1
}

// Outlier is when an endpoint gets no requests because of how it fared with those that it had: it broke connections, or
// answered with a status of 500 and above. One that cannot be connected to at all is out at once.
type Outlier struct {
	Failures   int      `json:"failures,omitempty"`    // in a row; 0 means BrokenLimit
	Ejection   Duration `json:"ejection,omitempty"`    // how long, times how often of late, at most ten times; 0 means 1s
	MaxEjected int      `json:"max_ejected,omitempty"` // at most so many percent of the endpoints at once; 0 means 50
}

// WithDefaults returns the policy with what is zero replaced by what that means.
func (o Outlier) WithDefaults() Outlier {
	o.Failures = cmp.Or(o.Failures, BrokenLimit)
	o.Ejection = cmp.Or(o.Ejection, Duration(time.Second))
	o.MaxEjected = cmp.Or(o.MaxEjected, 50)
	return o
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

// RetryPercent returns how many retries there may be, in percent of the requests.
func (b UpstreamBody) RetryPercent() int { return cmp.Or(b.RetryBudget, 20) }

// BrokenLimit is after how many requests in a row that broke on their way the bundled gateway passes an endpoint over for a
// while, unless the upstream says another number; one that cannot be connected to at all is passed over at once.
const BrokenLimit = 3

// Broken returns after how many requests in a row that broke an endpoint is passed over.
func (b UpstreamBody) Broken() int {
	if b.Outlier == nil {
		return BrokenLimit
	}
	return b.Outlier.WithDefaults().Failures
}

// Check reports why the upstream cannot work. Without endpoints it answers 503, which is no error.
func (b *UpstreamBody) Check() error {
	for i, e := range b.Endpoints {
		if err := e.check(i + 1); err != nil {
			return err
		}
	}
	if b.Balance != "" && !slices.Contains(Balances(), b.Balance) {
		return fmt.Errorf("balance must be one of %s, not %q", strings.Join(Balances(), ", "), b.Balance)
	}
	if b.AllUnhealthy != "" && b.AllUnhealthy != FailClosed && b.AllUnhealthy != FailOpen {
		return fmt.Errorf("all_unhealthy must be %q or %q, not %q", FailClosed, FailOpen, b.AllUnhealthy)
	}
	if b.Retries < -1 || b.Retries > 10 {
		return fmt.Errorf("retries must be -1 to 10, not %d", b.Retries)
	}
	if b.RetryBudget < 0 || b.RetryBudget > 1000 {
		return fmt.Errorf("retry_budget must be 1 to 1000 percent, not %d", b.RetryBudget)
	}
	if err := b.Outlier.check(); err != nil {
		return err
	}
	if err := b.Breaker.check(); err != nil {
		return err
	}
	if err := b.Bulkhead.check(); err != nil {
		return err
	}
	return b.Health.check()
}

func (e Endpoint) check(number int) error {
	u, err := url.Parse(e.URL)
	if err != nil { // it would repeat a password
		return fmt.Errorf("endpoint %d is not a URL", number)
	}
	if !slices.Contains([]string{"http", "https", H2C}, u.Scheme) || u.Hostname() == "" {
		return fmt.Errorf("endpoint %q is not of the form http://host:port (or https, or h2c)", u.Redacted())
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return fmt.Errorf("endpoint %q has more than scheme, host and port", u.Redacted())
	}
	if e.Weight < 0 || e.Weight > 100 {
		return fmt.Errorf("weight of endpoint %q must be 1 to 100, not %d", u.Redacted(), e.Weight)
	}
	return nil
}

func (o *Outlier) check() error {
	switch {
	case o == nil:
		return nil
	case o.Failures < 0:
		return errors.New("outlier: failures cannot be negative")
	case o.MaxEjected < 0 || o.MaxEjected > 100:
		return fmt.Errorf("outlier: max_ejected must be 1 to 100 percent, not %d", o.MaxEjected)
	}
	return nil
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
