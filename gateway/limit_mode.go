package gateway

import (
	"fmt"
	"slices"
	"time"
)

// The values of Limit.Mode: what becomes of a request that comes before its time.
const (
	LimitRefuse = "refuse"
	LimitDelay  = "delay"
)

// longestWait is how long a limit may have a request wait.
const longestWait = time.Minute

// Interval is how far requests are apart at the rate.
func (l Limit) Interval() time.Duration { return time.Duration(float64(time.Second) / l.Rate) }

// Room is how many requests pass at once, or, of those that are delayed, are waiting or about to leave.
func (l Limit) Room() int {
	full := l.WithDefaults()
	if l.MaxWait > 0 {
		return min(full.Burst, int(time.Duration(l.MaxWait)/l.Interval())+1)
	}
	return full.Burst
}

// checkMode reports why requests cannot be delayed, or counted, like that.
func (l *Limit) checkMode() error {
	longest := time.Duration(l.Room()-1) * l.Interval()
	switch {
	case !slices.Contains([]string{"", LimitRefuse, LimitDelay}, l.Mode):
		return fmt.Errorf("limit: mode must be %q or %q, not %q", LimitRefuse, LimitDelay, l.Mode)
	case l.Mode != LimitDelay && l.MaxWait > 0:
		return fmt.Errorf("limit: max_wait is for mode %q", LimitDelay)
	case l.Mode == LimitDelay && longest > longestWait:
		return fmt.Errorf("limit: a request would wait for up to %s, more than %s: say a smaller burst, or max_wait", longest, longestWait)
	}
	return l.checkShared()
}
