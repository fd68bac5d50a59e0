package restore

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gwdr/gateway"
)

// attempt is one request, and the status that it must get; 0 is any but the gateway's own 404.
type attempt struct {
	method, host, path string
	header             http.Header    // that the route asks for
	route              string         // its id; empty: it is meant for none
	key                *gateway.Token // in Authorization
	fate               Fate           // of the key; empty: it was made up
	status             int
	unknown            bool
	scopes             []string // that the route wants of a key
	changed            bool     // the route is one of DataPlane.Changed
	byToken            bool     // the route opens to no key, but to a token of an issuer, which nobody here has
}

// String never shows the key.
func (a attempt) String() string {
	text := a.method + " " + a.host + a.path
	switch {
	case a.key == nil:
		return text
	case a.fate == "":
		return text + " with an unknown key"
	}
	return text + " with the " + string(a.fate) + " key " + a.key.String()
}

func (a attempt) want() string {
	if a.status == 0 {
		return "an answer of the upstream"
	}
	return strconv.Itoa(a.status)
}

// right judges an answer. unknown is how the gateway itself says 404, if that is known. A 401 or 403 must be the gateway's, which
// speaks of the API key: behind a door that is open, the upstream may say the same.
func (a attempt) right(status int, body, unknown []byte) bool {
	_, itself := own(body)
	switch {
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		return status == a.status && itself && denied(status, body)
	case a.status != 0:
		return status == a.status
	case a.fate == Live && (denied(status, body) || status >= http.StatusInternalServerError && itself):
		return false // it was not let in, or there is nobody behind the door
	}
	return !refused(status, body, unknown)
}

// readyPath is where an instance of the bundled gateway says whether it has a configuration.
const readyPath = "/.gwdr/ready"

// attempts picks what to try: early the unknown path, which shows how the gateway says 404.
func (d DataPlane) attempts(s *gateway.State) []attempt {
	open, locked, catchAll := d.sortRoutes(s)
	nowhere := attempt{method: http.MethodGet, host: "unknown.invalid", path: "/gwdr-probe-" + rand.Text(), status: http.StatusNotFound, unknown: true}
	all := []attempt{{method: http.MethodGet, path: readyPath, status: http.StatusOK}}
	if !catchAll {
		all = append(all, nowhere)
	}
	n := d.Routes
	if n == 0 {
		n = 5
	}
	all = append(all, sampleRoutes(open, n)...)
	for _, a := range sampleRoutes(locked, n) {
		a.status = http.StatusUnauthorized
		all = append(all, a)
		madeUp := gateway.NewToken()
		a.key = &madeUp
		all = append(all, a)
	}
	return append(all, d.keyAttempts(s, takeKeys(locked))...)
}

// sortRoutes returns a request for each route that can be asked without harm, by whether it needs a key or token, and whether
// a route takes every path at every host.
func (d DataPlane) sortRoutes(s *gateway.State) (open, locked []attempt, catchAll bool) {
	changed := make(map[gateway.Ref]bool, len(d.Changed))
	for _, ref := range d.Changed {
		changed[ref] = true
	}
	for e := range s.Kind(gateway.Route) {
		var body gateway.RouteBody
		if json.Unmarshal(e.Body, &body) != nil || body.Path == "" {
			continue
		}
		if len(body.Hosts) == 0 && strings.HasPrefix(body.Path, "/{") && body.Match == nil {
			catchAll = true
		}
		a := attempt{method: http.MethodGet, route: e.ID, scopes: body.Scopes, changed: changed[e.Ref], byToken: body.Auth == gateway.AuthJWT}
		a.path, a.header = meet(body.Path, body.Match)
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

// takeKeys returns the requests that some key could open.
func takeKeys(locked []attempt) []attempt {
	return slices.DeleteFunc(slices.Clone(locked), func(a attempt) bool { return a.byToken })
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

// sampleRoutes returns at most n of all, evenly of those that changed, and then of the others.
func sampleRoutes(all []attempt, n int) []attempt {
	var changed, others []attempt
	for _, a := range all {
		if a.changed {
			changed = append(changed, a)
		} else {
			others = append(others, a)
		}
	}
	picked := sample(changed, n)
	return append(picked[:len(picked):len(picked)], sample(others, n-len(picked))...)
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
