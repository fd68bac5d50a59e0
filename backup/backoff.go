package backup

import "time"

// backoff is how long to wait before the next attempt: twice as long after each.
type backoff struct {
	first, most time.Duration
	next        time.Duration
}

// wait returns how long to wait now.
func (b *backoff) wait() time.Duration {
	d := max(b.first, b.next)
	b.next = min(2*d, b.most)
	return d
}

// reset is for an attempt that succeeded.
func (b *backoff) reset() { b.next = 0 }
