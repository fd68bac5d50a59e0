package restore

import (
	"context"
	"time"

	"gwdr/gateway"
)

// Instance is one data plane.
type Instance struct {
	Name string // as its operator knows it; empty: by its URL
	URL  string // of its data-plane listener: http://host:port; empty: it does not say where that is
	// Status returns what the instance says of itself; nil: it cannot be asked.
	Status func(ctx context.Context) (gateway.Status, error)
}

// Instances returns those at the URLs.
func Instances(urls ...string) []Instance {
	var all []Instance
	for _, url := range urls {
		all = append(all, Instance{URL: url})
	}
	return all
}

// reported compares what the instance says that it serves, and whether it would learn of changes: one that lost its control
// plane serves what it last had, which may be all that was restored, but not the next revocation.
func (in Instance) reported(ctx context.Context, digest string) []Check {
	if in.Status == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	status, err := in.Status(ctx)
	if err != nil {
		return []Check{{Instance: in.URL, Name: in.Name, Request: "its status", Want: "an answer", Got: err.Error()}}
	}
	var checks []Check
	if following := status.Following; following != nil {
		c := Check{Instance: in.URL, Name: in.Name, Request: "its control plane", Want: "is followed", Got: "is followed", OK: *following}
		if !c.OK {
			c.Got = "is not heard"
		}
		checks = append(checks, c)
	}
	return append(checks, Check{Instance: in.URL, Name: in.Name, Request: "digest of its configuration", Want: brief(digest), Got: brief(status.Digest), OK: status.Digest == digest})
}

// brief is as much of a digest as people compare.
func brief(digest string) string { return digest[:min(len(digest), 12)] }

// statusTimeout bounds how long an instance may take to tell its status.
const statusTimeout = 5 * time.Second
