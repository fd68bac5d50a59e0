package probes

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pacer wakes a goroutine at regular instants, to some 50 µs. The timers of Go wait in whole milliseconds, too coarse for a
// short interval; a timer of the kernel's that is a file is waited for as a connection is, and holds up no other goroutine.
type pacer struct {
	timer *os.File
	ticks [8]byte // how often it has ticked, which time itself says as well
}

// newPacer ticks for the first time after first, then every interval.
func newPacer(first, interval time.Duration) (*pacer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	timer := os.NewFile(uintptr(fd), "timer")
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, int64(first))), Interval: unix.NsecToTimespec(int64(interval))}
	if err := unix.TimerfdSettime(fd, 0, &spec, nil); err != nil {
		timer.Close()
		return nil, fmt.Errorf("set timer: %w", err)
	}
	return &pacer{timer: timer}, nil
}

// sleep returns at the first tick that is no sooner than d from now.
func (p *pacer) sleep(d time.Duration) {
	for until := time.Now().Add(d); d > 0; d = time.Until(until) {
		if _, err := p.timer.Read(p.ticks[:]); err != nil {
			time.Sleep(d)
		}
	}
}

func (p *pacer) close() { p.timer.Close() }
