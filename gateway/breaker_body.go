package gateway

import (
	"cmp"
	"fmt"
	"time"
)

// Breaker is when nothing is asked any more of what keeps failing: of each endpoint of an Upstream, or of a Route as a whole. A
// request failed that broke, took too long or was answered with a status of 500 and above. Once OpenFor is over, a few requests
// are let through: if they all pass, everything is as before, and if one fails, it is open again.
type Breaker struct {
	Failures int      `json:"failures,omitempty"`  // so many in the window open it, 0 means 5,
	Ratio    int      `json:"ratio,omitempty"`     // if they are at least so many percent of the window's requests; 0 means 50
	Window   Duration `json:"window,omitempty"`    // 0 means 10s
	OpenFor  Duration `json:"open_for,omitempty"`  // 0 means 5s
	HalfOpen int      `json:"half_open,omitempty"` // requests that are let through then; 0 means 1
}

// WithDefaults returns the policy with what is zero replaced by what that means.
func (b Breaker) WithDefaults() Breaker {
	b.Failures = cmp.Or(b.Failures, 5)
	b.Ratio = cmp.Or(b.Ratio, 50)
	b.Window = cmp.Or(b.Window, Duration(10*time.Second))
	b.OpenFor = cmp.Or(b.OpenFor, Duration(5*time.Second))
	b.HalfOpen = cmp.Or(b.HalfOpen, 1)
	return b
}

// The least and most that the times of a Breaker may be.
const shortest, longest = Duration(10 * time.Millisecond), Duration(time.Hour)

func (b *Breaker) check() error {
	if b == nil {
		return nil
	}
	full := b.WithDefaults()
	switch {
	case full.Failures < 1 || full.Failures > most:
		return fmt.Errorf("breaker: failures must be 1 to %d, not %d", most, b.Failures)
	case full.Ratio < 1 || full.Ratio > 100:
		return fmt.Errorf("breaker: ratio must be 1 to 100 percent, not %d", b.Ratio)
	case full.Window < shortest || full.Window > longest:
		return fmt.Errorf("breaker: window must be 10ms to 1h, not %s", time.Duration(b.Window))
	case full.OpenFor < shortest || full.OpenFor > longest:
		return fmt.Errorf("breaker: open_for must be 10ms to 1h, not %s", time.Duration(b.OpenFor))
	case full.HalfOpen < 1 || full.HalfOpen > 1000:
		return fmt.Errorf("breaker: half_open must be 1 to 1000 requests, not %d", b.HalfOpen)
	}
	return nil
}
