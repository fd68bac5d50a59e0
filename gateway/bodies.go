package gateway

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"
)

// RouteBody is the body of a Route of the bundled gateway. A request matches by host, method and path; the most specific
// path template wins.
type RouteBody struct {
	Hosts    []string          `json:"hosts,omitempty"`   // exact host names without port; empty matches any
	Methods  []string          `json:"methods,omitempty"` // upper case; empty matches any
	Path     string            `json:"path"`              // OpenAPI template: /orders/{id}; a final {name...} matches the rest
	Upstream string            `json:"upstream"`          // id of an Upstream
	Auth     string            `json:"auth,omitempty"`    // "key" (default) or "none"
	Scopes   []string          `json:"scopes,omitempty"`  // a key must hold all of them
	Headers  map[string]string `json:"headers,omitempty"` // set on the request to the upstream
	Timeout  Duration          `json:"timeout,omitempty"` // total, from request to response header; 0 means the upstream's
	Spec     string            `json:"spec,omitempty"`    // id of the Spec that the route was imported from
}

// The values of RouteBody.Auth.
const (
	AuthKey  = "key"
	AuthNone = "none"
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

// ConsumerBody is the body of a Consumer: whom a key was issued to.
type ConsumerBody struct {
	Name string `json:"name"`
}

// KeyBody is the body of a Key. The secret itself is stored nowhere.
type KeyBody struct {
	Consumer string     `json:"consumer,omitempty"`
	Hash     string     `json:"hash"` // hex SHA-256 of the 256-bit secret
	Scopes   []string   `json:"scopes,omitempty"`
	Routes   []string   `json:"routes,omitempty"` // ids of the routes that it opens, or what they begin with and *; empty: all
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty"` // absolute
}

// Duration is a time.Duration that reads and writes as a string such as "250ms" in JSON.
type Duration time.Duration

// MarshalText writes the duration as time.Duration.String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads and refuses a negative value.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil { // it would not say what is right
		return fmt.Errorf("%q is not a duration such as 250ms or 30s", text)
	}
	if v < 0 {
		return fmt.Errorf("duration %s is negative", text)
	}
	*d = Duration(v)
	return nil
}

// Encode returns the JSON of one of the body types.
func Encode(body any) []byte {
	b, err := json.Marshal(body)
	if err != nil { // no body type holds anything that JSON cannot
		panic("gateway: encode " + err.Error())
	}
	return b
}
