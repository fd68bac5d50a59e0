package backup

import "sync/atomic"

// meter says how far a verification came. A driver that was left behind may still count.
type meter struct {
	report func(Progress)
	phase  atomic.Value // string
	done   atomic.Int64 // bytes
	total  atomic.Int64
}

func (m *meter) begin(phase string, total int64) {
	m.phase.Store(phase)
	m.done.Store(0)
	m.total.Store(total)
}

func (m *meter) add(location string, n int) {
	phase, _ := m.phase.Load().(string)
	m.report(Progress{Phase: phase, Location: location, Done: m.done.Add(int64(n)), Total: m.total.Load()})
}
