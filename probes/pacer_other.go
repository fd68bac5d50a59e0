//go:build !linux

package probes

import "time"

// pacer wakes a goroutine at regular instants.
type pacer struct{ ticker *time.Ticker }

// newPacer ticks for the first time after first, then every interval.
func newPacer(first, interval time.Duration) (*pacer, error) {
	time.Sleep(first)
	return &pacer{time.NewTicker(interval)}, nil
}

// wait returns at the next tick, at once if there was one since the last call.
func (p *pacer) wait() error {
	<-p.ticker.C
	return nil
}

func (p *pacer) close() { p.ticker.Stop() }
