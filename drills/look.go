package drills

import (
	"context"
	"time"
)

// look tells whoever observes the drill how all series fare that are measured now, until ctx ends. The screens need it not:
// they have their own view of the attempts.
func (m *meter) look(ctx context.Context) {
	tick := time.NewTicker(looks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now, detector := m.drill.offset(), m.detector
			if m.quiet.Load() {
				detector = m.data
			}
			m.drill.screens.show(Event{At: now, Courses: detector.Courses(now)})
		}
	}
}
