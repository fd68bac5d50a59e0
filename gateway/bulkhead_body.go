package gateway

import (
	"cmp"
	"fmt"
	"time"
)

// Bulkhead is how many requests of an Upstream or Route may be under way at a time, so that one that is slow takes no more than its
// share. A request is under way until the end of its response, and an upgraded connection until it is closed.
type Bulkhead struct {
	MaxInFlight int      `json:"max_in_flight"`
	Queue       int      `json:"queue,omitempty"` // so many more wait for their turn; 0 means none
	Wait        Duration `json:"wait,omitempty"`  // for so long; 0 means 1s
}

// WithDefaults returns the bulkhead with what is zero replaced by what that means.
func (b Bulkhead) WithDefaults() Bulkhead {
	b.Wait = cmp.Or(b.Wait, Duration(time.Second))
	return b
}

func (b *Bulkhead) check() error {
	switch {
	case b == nil:
		return nil
	case b.MaxInFlight < 1 || b.MaxInFlight > most:
		return fmt.Errorf("bulkhead: max_in_flight must be 1 to %d, not %d", most, b.MaxInFlight)
	case b.Queue < 0 || b.Queue > most:
		return fmt.Errorf("bulkhead: queue must be 0 to %d, not %d", most, b.Queue)
	case b.Wait > longest:
		return fmt.Errorf("bulkhead: wait must be at most 1h, not %s", time.Duration(b.Wait))
	}
	return nil
}
