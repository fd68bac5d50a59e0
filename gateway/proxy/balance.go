package proxy

import (
	"cmp"
	"math"
	"slices"
	"time"

	"gwdr/gateway"
)

// standing is how well an endpoint is.
type standing int

const (
	usable standing = iota
	ejected
	unhealthy
	broken
)

// rank is how good a choice an endpoint is; the least is the best.
type rank struct {
	standing standing
	priority int
	score    float64
}

func (r rank) compare(o rank) int {
	return cmp.Or(cmp.Compare(r.standing, o.standing), cmp.Compare(r.priority, o.priority), cmp.Compare(r.score, o.score))
}

// pick returns the endpoint to try next and counts a request for it, which the caller releases; nil if there is none. Of those
// that were not tried yet it is the one of the best rank; equals take turns.
func (u *upstream) pick(client uint64, tried []*endpoint) *endpoint {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	var best rank
	u.equals = u.equals[:0]
	for _, e := range u.endpoints {
		if slices.Contains(tried, e) {
			continue
		}
		r := u.rank(e, client, now)
		order := r.compare(best)
		if len(u.equals) == 0 || order < 0 {
			best, u.equals = r, u.equals[:0]
		} else if order > 0 {
			continue
		}
		u.equals = append(u.equals, e)
	}
	if len(u.equals) == 0 || u.refuses(best.standing) {
		return nil
	}
	e := u.takeTurns(now)
	e.load.inFlight.Add(1)
	return e
}

func (e *endpoint) release() { e.load.inFlight.Add(-1) }

// refuses reports whether an endpoint that is no better gets no requests. One that was ejected without a policy does, and one whose
// breaker is open does not, whatever the policy.
func (u *upstream) refuses(s standing) bool {
	return s == broken || u.closed && (s == unhealthy || s == ejected && u.outlier.strict)
}

func (u *upstream) rank(e *endpoint, client uint64, now time.Time) rank {
	r := rank{score: u.score(e, client, now)}
	switch {
	case e.breaker.refuses(now):
		r.standing = broken
	case !e.healthy.Load():
		r.standing = unhealthy
	case e.isEjected(now):
		r.standing = ejected
	}
	if u.balance == gateway.Failover {
		r.priority = e.priority
	}
	return r
}

// score compares endpoints by the upstream's balance. Where it is the same for all, they take turns.
func (u *upstream) score(e *endpoint, client uint64, now time.Time) float64 {
	switch u.balance {
	case gateway.LeastConnections:
		return float64(e.load.inFlight.Load()) / float64(e.share(u.slowStart, now))
	case gateway.Latency:
		return e.cost(now) / float64(e.share(u.slowStart, now))
	case gateway.IPHash:
		return lot(client, e.seed) / float64(e.share(u.slowStart, now))
	}
	return 0
}

// unknownDelay stands for that of an endpoint that has requests but no answer yet: a request at a time is enough to learn it.
const unknownDelay = float64(time.Hour)

// cost is how long a request would wait: for those before it, too.
func (e *endpoint) cost(now time.Time) float64 {
	waiting := float64(e.load.inFlight.Load())
	known := e.load.delay.estimate(now)
	if known == 0 && waiting > 0 {
		known = unknownDelay
	}
	return known * (waiting + 1)
}

// lot draws for a client and an endpoint the same number above 0 every time, exponentially distributed: the endpoint whose number
// by its weight is least has the client, and if it goes only its clients move. Source: Thaler and Ravishankar, Using name-based
// mappings to increase hit rates, 1998 (rendezvous hashing); with weights, Schindelhauer and Schomaker, 2005.
func lot(client, seed uint64) float64 {
	h := client ^ seed // mixed as by SplitMix64 (Steele, Lea and Flood, 2014)
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return -math.Log((float64(h>>11) + 0.5) / (1 << 53))
}

// takeTurns gives each of the equals its share, evenly spread: smooth weighted round robin, as in nginx (Dounin, 2012). Each is
// owed its share of every request; who is owed most has the request, and owes the others theirs.
func (u *upstream) takeTurns(now time.Time) *endpoint {
	var next *endpoint
	var total int64
	for _, e := range u.equals {
		share := e.share(u.slowStart, now)
		e.credit += share
		total += share
		if next == nil || e.credit > next.credit {
			next = e
		}
	}
	next.credit -= total
	return next
}

// comesBack is in how long an endpoint may be used again: the end of an ejection, or of its breaker's, or the checks that it takes.
func (u *upstream) comesBack() time.Duration {
	checks := time.Duration(u.check.Interval) * time.Duration(u.check.Healthy)
	now, soonest := time.Now(), time.Duration(math.MaxInt64)
	for _, e := range u.endpoints {
		left := max(e.breaker.left(now), time.Duration(e.ejected.Load()-e.age(now)))
		if !e.healthy.Load() {
			left = max(left, checks)
		}
		soonest = min(soonest, max(left, 1))
	}
	return soonest
}
