package proxy

import (
	"fmt"
	"hash/maphash"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"gwdr/gateway"
)

// limit is a gateway.Limit, ready to serve. It is kept to by the Generic Cell Rate Algorithm, which needs one number for each who is
// counted: the theoretical arrival time of the next request. Source: ITU-T I.371 (2004), annex A, virtual scheduling.
type limit struct {
	per      string
	mode     string
	shared   bool
	onLoss   string
	quoted   string // per, as headers have it
	policy   string // as the RateLimit-Policy header has it
	interval time.Duration
	room     int
	capacity time.Duration // interval times room
}

func newLimit(b *gateway.Limit) *limit {
	if b == nil {
		return nil
	}
	full := b.WithDefaults()
	l := &limit{per: full.Per, mode: full.Mode, shared: full.Shared, onLoss: full.OnLoss, interval: full.Interval(), room: full.Room()}
	l.capacity = l.interval * time.Duration(l.room)
	l.quoted = strconv.Quote(l.per)
	l.policy = fmt.Sprintf("%s;q=%d;w=%d", l.quoted, l.room, wholeSeconds(l.capacity))
	return l
}

// who is counted. A whole network of IPv6 that a site has is one address: its hosts choose theirs by themselves.
func (l *limit) who(c *call) string {
	switch l.per {
	case gateway.PerKey:
		if c.issuer != "" {
			return c.issuer + separator + c.subject
		}
		return c.key
	case gateway.PerAddress:
		return network(c.clientAddress(c.request))
	}
	return ""
}

func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
}

// Standing is how somebody stands with a limit.
type Standing struct {
	Left  int           // more requests that would pass now
	Reset time.Duration // until the whole burst is there again, or until the next request passes if this one does not
	Wait  time.Duration // Reset, if this one does not pass
}

// tell sets the headers of draft-ietf-httpapi-ratelimit-headers-10.
func (l *limit) tell(h http.Header, s Standing) {
	text := append(make([]byte, 0, 40), l.quoted...)
	text = strconv.AppendInt(append(text, ";r="...), int64(s.Left), 10)
	text = strconv.AppendInt(append(text, ";t="...), wholeSeconds(s.Reset), 10)
	h["Ratelimit-Policy"], h["Ratelimit"] = []string{l.policy}, []string{string(text)}
}

// bucket is what is counted together.
type bucket struct{ route, who string }

const (
	limitShards  = 16
	shardBuckets = 65536 // at most; about 10 MB each
	swept        = 4     // buckets looked at when one is added, so that no more than that wait to be forgotten as are used
)

// limiter counts for all limits of a Gateway. It outlives configurations: a route that is put again gives nobody a fresh burst.
type limiter struct {
	born   time.Time
	seed   maphash.Seed
	shards [limitShards]limitShard
}

// limitShard has for each bucket the theoretical arrival time, since the limiter was born. One that is past is as good as none.
type limitShard struct {
	mu   sync.Mutex
	due  map[bucket]time.Duration
	all  []bucket // those in due
	hand int      // of all, which is looked at next
}

func newLimiter() *limiter {
	l := &limiter{born: time.Now(), seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].due = map[bucket]time.Duration{}
	}
	return l
}

// take counts a request, unless it does not pass.
func (l *limiter) take(b bucket, by *limit, at time.Time) Standing {
	now := at.Sub(l.born)
	s := &l.shards[maphash.Comparable(l.seed, b)%limitShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	due, known := s.due[b]
	due = min(max(due, now), now+by.capacity) // the limit may have been changed
	if wait := due + by.interval - by.capacity - now; wait > 0 {
		return Standing{Reset: wait, Wait: wait}
	}
	if !known {
		s.makeRoom(now)
		b.who = strings.Clone(b.who) // which may be a piece of a request
		s.all = append(s.all, b)
	}
	due += by.interval
	s.due[b] = due
	return Standing{Left: int((by.capacity - (due - now)) / by.interval), Reset: due - now}
}

// makeRoom looks at a few buckets, in turns, and forgets those that are as good as none; if the shard is full, then one in any
// case, who gets a fresh burst by that.
func (s *limitShard) makeRoom(now time.Duration) {
	for range min(swept, len(s.all)) {
		s.hand %= len(s.all)
		if s.due[s.all[s.hand]] <= now {
			s.forget()
		} else {
			s.hand++
		}
	}
	if len(s.all) >= shardBuckets {
		s.hand %= len(s.all)
		s.forget()
	}
}

// forget the bucket at the hand.
func (s *limitShard) forget() {
	last := len(s.all) - 1
	delete(s.due, s.all[s.hand])
	s.all[s.hand], s.all[last] = s.all[last], bucket{}
	s.all = s.all[:last]
	s.hand = min(s.hand, max(last-1, 0))
}
