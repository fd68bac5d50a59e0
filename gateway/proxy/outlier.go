package proxy

import (
	"time"

	"gwdr/gateway"
)

// outlier is when an endpoint is passed over because of how its requests fared.
type outlier struct {
	// strict: the upstream's body has a policy. Bad answers count, an ejection lasts its time and grows, and whoever is ejected
	// gets nothing. Without one, an endpoint that fails is merely the second choice for a second, until it answers.
	strict   bool
	failures int32
	ejection time.Duration
	most     int // endpoints that are ejected at once
}

func newOutlier(b gateway.UpstreamBody) outlier {
	o := outlier{failures: gateway.BrokenLimit, ejection: time.Second, most: len(b.Endpoints)}
	if b.Outlier != nil {
		policy := b.Outlier.WithDefaults()
		o = outlier{strict: true, failures: int32(min(policy.Failures, 1<<30)), ejection: time.Duration(policy.Ejection),
			most: len(b.Endpoints) * policy.MaxEjected / 100}
	}
	return o
}

// longest is how many times its base an ejection lasts at most.
const longest = 10

// answered notes a response.
func (u *upstream) answered(e *endpoint, status int) {
	if u.outlier.strict && status >= 500 {
		u.failed(e, false)
		return
	}
	u.worked(e)
}

// worked notes a request or a check that passed. It only writes when there is something to forget, as all requests share the
// endpoint.
func (u *upstream) worked(e *endpoint) {
	if e.failures.Load() != 0 {
		e.failures.Store(0)
	}
	if !u.outlier.strict {
		e.reinstate()
	}
}

// failed notes a connection that could not be made, or one more that broke, or a bad answer.
func (u *upstream) failed(e *endpoint, unreachable bool) {
	if n := e.failures.Add(1); unreachable || n >= u.outlier.failures {
		u.eject(e)
	}
}

// eject passes the endpoint over for a while, unless it is already, or too many others are. The more often it had to be
// of late, the longer; ten bases without another one make up for one.
func (u *upstream) eject(e *endpoint) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	if e.isEjected(now) || u.ejected(now) >= u.outlier.most {
		return
	}
	age, base, times := e.age(now), int64(u.outlier.ejection), int64(1)
	if u.outlier.strict {
		e.ejections = max(0, e.ejections-(age-e.ejected.Load())/(longest*base)) + 1
		times = min(e.ejections, longest)
	}
	e.failures.Store(0)
	e.ejected.Store(age + times*base)
}

// ejected is how many endpoints are passed over.
func (u *upstream) ejected(now time.Time) (n int) {
	for _, e := range u.endpoints {
		if e.isEjected(now) {
			n++
		}
	}
	return n
}
