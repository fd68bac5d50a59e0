//go:build !linux

package probes

import "time"

// pacer stands for the one that Linux has: elsewhere the timers of Go are as fine as any.
type pacer struct{}

func newPacer(time.Duration, time.Duration) (*pacer, error) { return &pacer{}, nil }

func (*pacer) sleep(d time.Duration) { time.Sleep(d) }

func (*pacer) close() {}
