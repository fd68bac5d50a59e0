package probes

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Phases is how long the steps of ok attempts took. The count of a step is of the attempts that had it: a connection that is
// kept alive is made once.
type Phases struct {
	DNS, Connect, Handshake, FirstByte Latency
}

// PhasesOf returns the phases of the ok attempts among samples that were due in [from, to). They explain a latency, and no
// estimate depends on them.
func PhasesOf(samples []Sample, from, to time.Duration) Phases {
	steps := [4]*hdrhistogram.Histogram{newHistogram(), newHistogram(), newHistogram(), newHistogram()}
	for i := range samples {
		s := &samples[i]
		if s.Class != OK || s.Due < from || s.Due >= to {
			continue
		}
		for step, took := range [4]time.Duration{s.DNS, s.Connect, s.Handshake, s.FirstByte} {
			if took > 0 {
				record(steps[step], took)
			}
		}
	}
	return Phases{quantiles(steps[0]), quantiles(steps[1]), quantiles(steps[2]), quantiles(steps[3])}
}
