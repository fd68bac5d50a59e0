package restore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/gateway"
)

// DataPlane probes instances of the bundled gateway: do they serve a configuration?
type DataPlane struct {
	Instances []Instance
	Keys      []gateway.Token // to be tried; what comes of each depends on the configuration
	Changed   []gateway.Ref   // routes among these are sampled before others: an instance that does not follow shows there
	Client    *http.Client    // nil means one that takes at most 2 s for a request
	Within    time.Duration   // instances may take so long to follow the control plane; 0 means 15 s
	Routes    int             // probed per instance and way of authentication; 0 means 5
}

// Check is one request to an instance.
type Check struct {
	Instance string `json:"instance"`       // URL; empty: the control plane was asked
	Name     string `json:"name,omitempty"` // Instance.Name
	Request  string `json:"request"`        // GET host/path, and with what key
	Key      Fate   `json:"key,omitempty"`  // of the key that was tried; empty: none, or one that was made up
	Want     string `json:"want"`
	Got      string `json:"got"` // status, or the error
	OK       bool   `json:"ok"`
}

// String says what went wrong, or well.
func (c Check) String() string { return fmt.Sprintf("%s at %s: %s", c.Request, c.at(), c.outcome()) }

func (c Check) outcome() string { return fmt.Sprintf("%s, want %s", c.Got, c.Want) }

// at names the instance.
func (c Check) at() string {
	switch {
	case c.Name == "":
		return c.Instance
	case c.Instance == "":
		return c.Name
	}
	return fmt.Sprintf("%s (%s)", c.Name, c.Instance)
}

// Probe tries each instance until all its checks pass, Within is over, or ctx ends, and returns the last outcome. The
// instance must have a configuration, and, if it can be asked, this one, and follow its control plane. Routes are sampled evenly: one without a key must
// answer, whatever its upstream says; one with must answer 401 without a key and with a wrong one; an unknown path must answer
// 404. Of the Keys, a live one must reach the upstream, and every other one be answered 401. Only GET requests are sent.
func (d DataPlane) Probe(ctx context.Context, s *gateway.State) []Check {
	ctx, cancel := context.WithTimeout(ctx, d.within())
	defer cancel()
	attempts, digest := d.attempts(s), s.Digest()
	return d.everywhere(func(in Instance) []Check { return d.until(ctx, in, attempts, digest) })
}

func (d DataPlane) within() time.Duration { return cmp.Or(d.Within, 15*time.Second) }

// everywhere checks all instances at once.
func (d DataPlane) everywhere(check func(Instance) []Check) []Check {
	checks := make([][]Check, len(d.Instances))
	var wait sync.WaitGroup
	for i, in := range d.Instances {
		wait.Go(func() { checks[i] = check(in) })
	}
	wait.Wait()
	return slices.Concat(checks...)
}

// until repeats the attempts at one instance, ever more slowly.
func (d DataPlane) until(ctx context.Context, in Instance, attempts []attempt, digest string) []Check {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		checks := in.reported(ctx, digest)
		if in.URL != "" || !failed(checks) {
			checks = append(d.round(ctx, in, attempts), checks...)
		}
		if !failed(checks) {
			return checks
		}
		select {
		case <-ctx.Done():
			return checks
		case <-time.After(pause):
		}
	}
}

func failed(checks []Check) bool {
	return slices.ContainsFunc(checks, func(c Check) bool { return !c.OK })
}

// round makes the attempts, up to the first that gets no answer at all.
func (d DataPlane) round(ctx context.Context, in Instance, attempts []attempt) []Check {
	var unknown []byte // how the gateway itself says 404
	var checks []Check
	if in.URL == "" {
		return []Check{{Name: in.Name, Request: "where its data plane is", Want: "known", Got: "its status does not say"}}
	}
	for _, a := range attempts {
		// An attempt outlives Within by at most the client's timeout, so that the last round tells causes, not the deadline.
		status, body, err := d.send(context.WithoutCancel(ctx), in.URL, a)
		c := Check{Instance: in.URL, Name: in.Name, Request: a.String(), Key: a.fate, Want: a.want(), Got: gotten(status, err)}
		c.OK = err == nil && a.right(status, body, unknown)
		if a.unknown && status == http.StatusNotFound {
			unknown = body
		}
		checks = append(checks, c)
		if err != nil { // nobody answers: what else there is to ask would take as long as what hangs
			return checks
		}
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
	_, ok := own(body)
	return ok
}

// own returns the text of an answer that is in the form of the gateway's own errors; ok is false for any other.
func own(body []byte) (text string, ok bool) {
	var answer map[string]string
	err := json.Unmarshal(body, &answer)
	text = answer["error"]
	return text, err == nil && len(answer) == 1 && text != ""
}

// noToken is how the gateway says 401 where it takes tokens of issuers alone.
const noToken = "a token is required"

// denied reports whether the gateway did not take the key. An upstream may answer 401 and 403, too.
func denied(status int, body []byte) bool {
	text, _ := own(body)
	switch status {
	case http.StatusUnauthorized:
		return len(body) == 0 || strings.Contains(text, "API key") || text == noToken
	case http.StatusForbidden:
		return strings.Contains(text, "API key")
	}
	return false
}

// direct is a transport that uses no proxy: a key that is tried is nobody's to see but the instance's.
var direct = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	return t
}()

// send makes the request and returns the status and the start of the body.
func (d DataPlane) send(ctx context.Context, url string, a attempt) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, a.method, strings.TrimSuffix(url, "/")+a.path, nil)
	if err != nil {
		return 0, nil, err
	}
	if a.host != "" {
		req.Host = a.host
	}
	maps.Copy(req.Header, a.header)
	if a.key != nil {
		req.Header.Set("Authorization", "Bearer "+a.key.Reveal())
	}
	client := http.Client{Timeout: 2 * time.Second, Transport: direct}
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
