package restore

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"gwdr/gateway"
)

// Fate is what a configuration makes of a key.
type Fate string

// The fates.
const (
	Live    Fate = "live"
	Revoked Fate = "revoked"
	Expired Fate = "expired"
	Unknown Fate = "unknown" // there is no key of the id, or one with another secret
	Issued  Fate = "new"     // it is none of the configuration: ProbeKey made it
)

// KeysTried counts, by fate, the keys that the checks tried.
func KeysTried(checks []Check) map[Fate]int {
	tried, seen := map[Fate]int{}, map[string]bool{}
	for _, c := range checks {
		if c.Key != "" && !seen[c.Request] {
			seen[c.Request] = true
			tried[c.Key]++
		}
	}
	return tried
}

// clockSkew is how far the clock of an instance may be from that here: about a key that expires within it, nothing is known.
const clockSkew = time.Minute

// fateOf returns what becomes of a key, or nothing if that changes about now.
func fateOf(s *gateway.State, t gateway.Token, now time.Time) Fate {
	raw, there := s.Get(gateway.Ref{Kind: gateway.Key, ID: t.ID})
	end, ends := s.Get(gateway.Ref{Kind: gateway.Revocation, ID: t.ID})
	revoked, sure := passed(gateway.RevokedFrom(end), now)
	if ends && revoked {
		return Revoked
	}
	body, err := gateway.DecodeKey(raw)
	if !there || err != nil || body.Hash != t.Hash() {
		return Unknown
	}
	if ends && !sure {
		return ""
	}
	if body.Expires == nil {
		return Live
	}
	switch expired, sure := passed(*body.Expires, now); {
	case expired:
		return Expired
	case sure:
		return Live
	}
	return ""
}

// passed reports whether the time has passed by any clock, or that it has by none, which is as sure.
func passed(at, now time.Time) (by, sure bool) {
	by = at.Before(now.Add(-clockSkew))
	return by, by || at.After(now.Add(clockSkew))
}

// keyAttempts has one request for each key. A live one is tried where it opens, others than the first ones at other routes; if
// it opens no route, that is what it must be told, and not that it is not valid.
func (d DataPlane) keyAttempts(s *gateway.State, locked []attempt) []attempt {
	door, ok := fewestScopes(locked)
	if !ok {
		return nil
	}
	var all []attempt
	for i, token := range d.Keys {
		a := door
		a.key, a.fate, a.status = &token, fateOf(s, token, time.Now()), http.StatusUnauthorized
		switch a.fate {
		case "":
			continue
		case Live:
			doors := opened(locked, keyOf(s, token))
			if a.status = http.StatusForbidden; len(doors) > 0 {
				open := doors[i*len(doors)/len(d.Keys)]
				a.method, a.host, a.path, a.status = open.method, open.host, open.path, 0
			}
		}
		all = append(all, a)
	}
	return all
}

func keyOf(s *gateway.State, t gateway.Token) gateway.KeyBody {
	raw, _ := s.Get(gateway.Ref{Kind: gateway.Key, ID: t.ID})
	body, _ := gateway.DecodeKey(raw) // it is live: it could be read
	return body
}

// opened returns the requests that the key opens.
func opened(locked []attempt, key gateway.KeyBody) []attempt {
	return slices.DeleteFunc(slices.Clone(locked), func(a attempt) bool {
		means := func(pattern string) bool { return gateway.OpensRoute(pattern, a.route) }
		return len(key.Routes) > 0 && !slices.ContainsFunc(key.Routes, means) ||
			slices.ContainsFunc(a.scopes, func(wanted string) bool { return !slices.Contains(key.Scopes, wanted) })
	})
}

// fewestScopes returns the request that asks least of a key.
func fewestScopes(locked []attempt) (a attempt, ok bool) {
	if len(locked) == 0 {
		return a, false
	}
	return slices.MinFunc(locked, func(a, b attempt) int { return len(a.scopes) - len(b.scopes) }), true
}

// IssueKey issues a key with the scopes, and returns what its holder shows and how to revoke it.
type IssueKey func(ctx context.Context, scopes []string) (key gateway.Token, revoke func(context.Context) error, err error)

// revokeTimeout bounds the revocation of a key that was issued, which happens in any case.
const revokeTimeout = 10 * time.Second

// ProbeKey tries at each instance whether a key that was issued now opens a route which needs one, and whether it opens it no
// longer once it is revoked: that the restored gateway can still be administered, and its data plane follows. There are no
// checks if no route needs a key. The configuration is another one afterwards: there is one more revocation.
func (d DataPlane) ProbeKey(ctx context.Context, s *gateway.State, issue IssueKey) []Check {
	_, locked, _ := d.sortRoutes(s)
	a, ok := fewestScopes(takeKeys(locked))
	if !ok {
		return nil
	}
	token, revoke, err := issue(ctx, a.scopes)
	if err != nil {
		return []Check{{Name: theControlPlane, Request: "issue a key", Want: "a key", Got: err.Error()}}
	}
	a.key = &token
	checks := d.settle(ctx, a, Check{Request: "a new key", Key: Issued, Want: "an answer other than 401"}, func(status int, body []byte) bool { return !denied(status, body) })
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTimeout)
	defer cancel()
	if err := revoke(clean); err != nil {
		return append(checks, Check{Name: theControlPlane, Request: "revoke the new key", Want: "its revocation", Got: err.Error()})
	}
	a.status = http.StatusUnauthorized
	return append(checks, d.settle(ctx, a, Check{Request: "the same key, revoked", Key: Revoked, Want: a.want()}, func(status int, body []byte) bool { return a.right(status, body, nil) })...)
}

// theControlPlane is what is asked for a new key.
const theControlPlane = "the control plane"

// settle repeats the attempt at each instance until its answer is right or Within is over.
func (d DataPlane) settle(ctx context.Context, a attempt, c Check, right func(status int, body []byte) bool) []Check {
	ctx, cancel := context.WithTimeout(ctx, d.within())
	defer cancel()
	c.Request = a.method + " " + a.host + a.path + " with " + c.Request
	return d.everywhere(func(in Instance) []Check {
		c := c
		c.Instance, c.Name = in.URL, in.Name
		for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
			status, body, err := d.send(context.WithoutCancel(ctx), in.URL, a)
			if c.Got, c.OK = gotten(status, err), err == nil && right(status, body); c.OK {
				return []Check{c}
			}
			select {
			case <-ctx.Done():
				return []Check{c}
			case <-time.After(pause):
			}
		}
	})
}

// gotten says what came of a request.
func gotten(status int, err error) string {
	if err != nil {
		return err.Error()
	}
	return strconv.Itoa(status)
}
