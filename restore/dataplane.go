package restore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/gateway"
)

// DataPlane probes instances of the bundled gateway: do they serve a configuration?
type DataPlane struct {
	URLs   []string      // of instances' data-plane listeners: http://host:port
	Client *http.Client  // nil means one that takes at most 2 s for a request
	Within time.Duration // instances may take so long to follow the control plane; 0 means 15 s
	Routes int           // probed per instance and way of authentication; 0 means 5
}

// Check is one request to the data plane.
type Check struct {
	Instance string `json:"instance"` // URL
	Request  string `json:"request"`  // GET host/path, and with what key
	Want     string `json:"want"`
	Got      string `json:"got"` // status, or the error
	OK       bool   `json:"ok"`
}

// String says what went wrong, or well.
func (c Check) String() string {
	return fmt.Sprintf("%s at %s: %s, want %s", c.Request, c.Instance, c.Got, c.Want)
}

// Probe tries each instance until all its checks pass, Within is over, or ctx ends, and returns the last outcome. The
// instance must have a configuration. Routes are sampled evenly: one without a key must answer, whatever its upstream says; one with must answer 401 without
// a key and with a wrong one; an unknown path must answer 404. Only GET requests are sent.
func (d DataPlane) Probe(ctx context.Context, s *gateway.State) []Check {
	if d.Within == 0 {
		d.Within = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, d.Within)
	defer cancel()
	attempts := d.attempts(s)
	checks := make([][]Check, len(d.URLs))
	var wait sync.WaitGroup
	for i, url := range d.URLs {
		wait.Go(func() { checks[i] = d.until(ctx, url, attempts) })
	}
	wait.Wait()
	return slices.Concat(checks...)
}

// until repeats the attempts at one instance, ever more slowly.
func (d DataPlane) until(ctx context.Context, url string, attempts []attempt) []Check {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		checks := d.round(ctx, url, attempts)
		if !slices.ContainsFunc(checks, func(c Check) bool { return !c.OK }) {
			return checks
		}
		select {
		case <-ctx.Done():
			return checks
		case <-time.After(pause):
		}
	}
}

func (d DataPlane) round(ctx context.Context, url string, attempts []attempt) []Check {
	var unknown []byte // how the gateway itself says 404
	var checks []Check
	for _, a := range attempts {
		// An attempt outlives Within by at most the client's timeout, so that the last round tells causes, not the deadline.
		status, body, err := d.send(context.WithoutCancel(ctx), url, a)
		c := Check{Instance: url, Request: a.String(), Want: a.want(), Got: fmt.Sprint(status)}
		switch {
		case err != nil:
			c.Got = err.Error()
		case a.status != 0:
			c.OK = status == a.status
		default:
			c.OK = !refused(status, body, unknown)
		}
		if a.unknown && status == http.StatusNotFound {
			unknown = body
		}
		checks = append(checks, c)
	}
	return checks
}

// refused reports whether the gateway itself says that it has no such route: as it does for an unknown path, or in the
// form of its errors where every path is known. The upstream's own 404 is an answer.
func refused(status int, body, unknown []byte) bool {
	if status != http.StatusNotFound && status != http.StatusMethodNotAllowed {
		return false
	}
	if status == http.StatusNotFound && unknown != nil {
		return bytes.Equal(body, unknown)
	}
	var own map[string]string
	return json.Unmarshal(body, &own) == nil && len(own) == 1 && own["error"] != ""
}

// attempt is one request, and the status that it must get; 0 is any but the gateway's own 404.
type attempt struct {
	method, host, path string
	key                string // in Authorization
	status             int
	unknown            bool
}

// String never shows the key.
func (a attempt) String() string {
	text := a.method + " " + a.host + a.path
	if a.key != "" {
		text += " with an unknown key"
	}
	return text
}

func (a attempt) want() string {
	if a.status == 0 {
		return "an answer of the upstream"
	}
	return fmt.Sprint(a.status)
}

// readyPath is where an instance of the bundled gateway says whether it has a configuration.
const readyPath = "/.gwdr/ready"

// attempts picks what to try: early the unknown path, which shows how the gateway says 404.
func (d DataPlane) attempts(s *gateway.State) []attempt {
	open, locked, catchAll := sortRoutes(s)
	nowhere := attempt{method: http.MethodGet, host: "unknown.invalid", path: "/gwdr-probe-" + rand.Text(), status: http.StatusNotFound, unknown: true}
	all := []attempt{{method: http.MethodGet, path: readyPath, status: http.StatusOK}}
	if !catchAll {
		all = append(all, nowhere)
	}
	n := d.Routes
	if n == 0 {
		n = 5
	}
	all = append(all, sample(open, n)...)
	for _, a := range sample(locked, n) {
		a.status = http.StatusUnauthorized
		all = append(all, a)
		a.key = gateway.NewToken().Reveal()
		all = append(all, a)
	}
	return all
}

// sortRoutes returns a request for each route that can be asked without harm, by whether it needs a key, and whether a
// route takes every path at every host.
func sortRoutes(s *gateway.State) (open, locked []attempt, catchAll bool) {
	for e := range s.Kind(gateway.Route) {
		var body gateway.RouteBody
		if json.Unmarshal(e.Body, &body) != nil || body.Path == "" {
			continue
		}
		if len(body.Hosts) == 0 && strings.HasPrefix(body.Path, "/{") {
			catchAll = true
		}
		a := attempt{method: http.MethodGet, path: fill(body.Path)}
		if len(body.Hosts) > 0 {
			a.host = body.Hosts[0]
		}
		if len(body.Methods) > 0 && !slices.Contains(body.Methods, a.method) {
			continue
		}
		if body.Auth == gateway.AuthNone {
			open = append(open, a)
		} else {
			locked = append(locked, a)
		}
	}
	return open, locked, catchAll
}

// fill replaces the variables of a path template.
func fill(template string) string {
	var path strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		path.WriteString(before)
		if !found {
			return path.String()
		}
		path.WriteString("gwdr-probe")
		_, template, _ = strings.Cut(rest, "}")
	}
}

// sample returns at most n of all, evenly.
func sample[T any](all []T, n int) []T {
	if len(all) <= n {
		return all
	}
	picked := make([]T, n)
	for i := range picked {
		picked[i] = all[i*len(all)/n]
	}
	return picked
}

// send makes the request and returns the status and the start of the body.
func (d DataPlane) send(ctx context.Context, url string, a attempt) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, strings.TrimSuffix(url, "/")+a.path, nil)
	if err != nil {
		return 0, nil, err
	}
	if a.host != "" {
		req.Host = a.host
	}
	if a.key != "" {
		req.Header.Set("Authorization", "Bearer "+a.key)
	}
	client := http.Client{Timeout: 2 * time.Second}
	if d.Client != nil {
		client = *d.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	return resp.StatusCode, body, err
}
