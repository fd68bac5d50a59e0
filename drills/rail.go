package drills

import (
	"slices"
	"sync"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// rail is a guardrail at work.
type rail struct {
	name    string
	success *scenarios.SuccessBelow
	drill   time.Duration // the drill may take so long; 0 is for ever
	probed  bool          // somebody makes attempts for it

	mu      sync.Mutex
	since   time.Duration // when its first attempt was due
	samples []probes.Sample
}

func newRails(guardrails []scenarios.Guardrail, all []Probe) []*rail {
	var rails []*rail
	for _, g := range guardrails {
		r := &rail{name: g.Name, success: g.Success}
		if g.Drill != nil {
			r.drill = g.Drill.GT.D()
		}
		r.probed = slices.ContainsFunc(all, func(p Probe) bool { return p.Guardrail == g.Name })
		rails = append(rails, r)
	}
	return rails
}

func (r *rail) add(s probes.Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since == 0 {
		r.since = s.Due
	}
	r.samples = append(r.samples, s)
}

// breached says that the guardrail does not hold at the instant now.
func (r *rail) breached(now time.Duration) error {
	if r.drill > 0 && now > r.drill {
		return abortf(AbortGuardrail, "guardrail %s: the drill takes longer than %s", r.name, r.drill)
	}
	if r.success == nil || !r.probed {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	window := r.success.For.D()
	r.samples = slices.DeleteFunc(r.samples, func(s probes.Sample) bool { return s.Done < now-window })
	if now-r.since < window {
		return nil
	}
	sent, ok := 0, 0
	for _, s := range r.samples {
		if s.Class != probes.Unknown {
			sent++
		}
		if s.Class == probes.OK {
			ok++
		}
	}
	// Attempts that hang have not ended, so that a window without any attempt is a breach too.
	if share := float64(ok) / float64(max(sent, 1)); share < r.success.LT {
		return abortf(AbortGuardrail, "guardrail %s: %d of %d attempts of the last %s were ok, less than %v", r.name, ok, sent, window, r.success.LT)
	}
	return nil
}
