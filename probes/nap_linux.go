package probes

import (
	"syscall"
	"time"
)

// nap sleeps for d, to some 50 µs. The timers of Go wait in whole milliseconds, which is too coarse for a short interval.
func nap(d time.Duration) {
	left := syscall.NsecToTimespec(int64(d))
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}
