package drills

import (
	"context"
	"time"
)

// look tells whoever observes the drill how all series fare, until ctx ends. The screens need it not: they have their own
// view of the attempts.
func (m *meter) look(ctx context.Context) {
	tick := time.NewTicker(looks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now := m.drill.offset()
			m.drill.screens.show(Event{At: now, Courses: m.detector.Courses(now)})
		}
	}
}
