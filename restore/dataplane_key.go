package restore

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gwdr/gateway"
)

// IssueKey issues a key with the scopes, and returns what its holder shows and how to revoke it.
type IssueKey func(ctx context.Context, scopes []string) (secret string, revoke func(context.Context) error, err error)

// ProbeKey tries at each instance whether a key that was issued now opens a route which needs one, and whether it opens it no
// longer once it is revoked: that the restored gateway can still be administered, and its data plane follows. There are no
// checks if no route needs a key. The configuration is another one afterwards: there is one more key, and a revocation.
func (d DataPlane) ProbeKey(ctx context.Context, s *gateway.State, issue IssueKey) []Check {
	a, scopes, ok := lockedRoute(s)
	if !ok {
		return nil
	}
	if d.Within == 0 {
		d.Within = 15 * time.Second
	}
	secret, revoke, err := issue(ctx, scopes)
	if err != nil {
		return []Check{{Request: "issue a key", Want: "a key", Got: err.Error()}}
	}
	a.key = secret
	var checks []Check
	for _, url := range d.URLs {
		checks = append(checks, d.settle(ctx, url, a, Check{Request: "a new key", Want: "an answer other than 401"}, func(status int) bool { return status != http.StatusUnauthorized }))
	}
	if err := revoke(ctx); err != nil {
		return append(checks, Check{Request: "revoke the new key", Want: "its revocation", Got: err.Error()})
	}
	for _, url := range d.URLs {
		checks = append(checks, d.settle(ctx, url, a, Check{Request: "the same key, revoked", Want: "401"}, func(status int) bool { return status == http.StatusUnauthorized }))
	}
	return checks
}

// settle repeats the attempt until its status is right or Within is over.
func (d DataPlane) settle(ctx context.Context, url string, a attempt, c Check, right func(status int) bool) Check {
	key := c.Request
	ctx, cancel := context.WithTimeout(ctx, d.Within)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		status, _, err := d.send(context.WithoutCancel(ctx), url, a)
		c.Instance, c.Request, c.Got, c.OK = url, a.method+" "+a.host+a.path+" with "+key, gotten(status, err), err == nil && right(status)
		if c.OK {
			return c
		}
		select {
		case <-ctx.Done():
			return c
		case <-time.After(pause):
		}
	}
}

// lockedRoute returns a request for a route that needs a key, and the scopes that the key must hold: as few as there are.
func lockedRoute(s *gateway.State) (a attempt, scopes []string, ok bool) {
	for e := range s.Kind(gateway.Route) {
		var body gateway.RouteBody
		if json.Unmarshal(e.Body, &body) != nil || body.Path == "" || body.Auth == gateway.AuthNone ||
			len(body.Methods) > 0 && !slices.Contains(body.Methods, http.MethodGet) || ok && len(body.Scopes) >= len(scopes) {
			continue
		}
		a, scopes, ok = attempt{method: http.MethodGet, path: fill(body.Path)}, body.Scopes, true
		if len(body.Hosts) > 0 {
			a.host = body.Hosts[0]
		}
	}
	return a, scopes, ok
}

// gotten says what came of a request.
func gotten(status int, err error) string {
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(status)
}
