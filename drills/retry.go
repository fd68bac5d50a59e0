package drills

import (
	"context"
	"fmt"
	"time"

	"gwdr/fleet"
	"gwdr/scenarios"
)

// Patience bounds how long a revert is tried.
type Patience struct {
	Total   time.Duration // 0 is scenarios.RevertLimit
	Attempt time.Duration // 0 is 15 s
}

// revertOne reverts one fault, again and again with back-off, until it is proven gone or patience ends. It says which attempts failed.
func revertOne(ctx context.Context, f fleet.Fleet, u fleet.Undo, p Patience, say func(string)) error {
	total, limit := p.Total, p.Attempt
	if total == 0 {
		total = scenarios.RevertLimit
	}
	if limit == 0 {
		limit = 15 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, total)
	defer cancel()
	tell := attempts{say: say}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		try, cancelTry := context.WithTimeout(ctx, limit)
		err := f.Revert(try, u)
		cancelTry()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			tell.failed(u.Fault.ID, err, pause)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("revert fault %s: %w", u.Fault.ID, err)
		case <-time.After(pause):
		}
	}
}

// attemptsEvery is how often the same failure is told again.
const attemptsEvery = 5 * time.Second

// attempts tells of those that failed: of each that failed in another way than the one before, and of the others now and then.
type attempts struct {
	say  func(string)
	made int
	told string // what failed when that was told last
	at   time.Time
}

func (a *attempts) failed(fault string, err error, pause time.Duration) {
	a.made++
	if text := err.Error(); text != a.told || time.Since(a.at) >= attemptsEvery {
		a.told, a.at = text, time.Now()
		a.say(fmt.Sprintf("attempt %d to revert %s failed: %s; again in %s", a.made, fault, text, pause))
	}
}
