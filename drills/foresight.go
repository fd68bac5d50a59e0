package drills

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

// How the drill itself sees that a series is down: the quick part of the definition in docs/measurement.md.
const (
	detectRun = 3                // attempts in a row
	detectLag = probes.MinLimit  // how long an attempt that is refused may take
	actSpread = time.Duration(2) // an action takes from a half of the quickest to twice of the slowest before
)

// foresight is the prediction for one plane in the making.
type foresight struct {
	*judgement
	plane probes.Plane
	front Front
	from  []Input
}

func (f *foresight) input(name, format string, args ...any) {
	f.from = append(f.from, Input{Name: name, Value: fmt.Sprintf(format, args...)})
}

// predict returns what is expected, or why nothing is.
func (f *foresight) predict() Predicted {
	lost := f.lostOf(f.front)
	unknown := ""
	switch {
	case len(f.front.Serving) == 0:
		unknown = "it is not known who passes requests on, or to whom"
	case f.staggered():
		unknown = "the faults come one after another"
	case f.subtle() != "":
		unknown = "the model is of instances that are gone, and " + f.subtle() + " leaves all there"
	case len(lost) == 0:
		f.input("faults", "touch none of %s", strings.Join(f.front.Serving, ", "))
		return Predicted{Recovery: &Expected{}, From: f.from}
	case f.plane == probes.ControlPlane:
		return f.control()
	case len(both(f.front.Standby, f.lost())) == len(f.front.Standby) && len(lost) == len(f.front.Serving):
		unknown = "no instance is left that could serve"
	default:
		return f.data(lost)
	}
	return Predicted{Unknown: unknown, From: []Input{}}
}

// staggered reports whether a fault is delayed, or comes in parts.
func (f *foresight) staggered() bool {
	return slices.ContainsFunc(f.scenario.Steps, func(s scenarios.Step) bool {
		delay, _ := s.Delay()
		return s.Fault != "" && (delay > 0 || s.After != "" || s.Stagger > 0 || s.Repeat.Times > 1)
	})
}

// subtle returns the kind of a fault that does not end an instance, but cuts it off, slows it down, or changes what it is told, asked, or
// answered from behind; or "".
func (f *foresight) subtle() string {
	i := slices.IndexFunc(f.scenario.Steps, func(s scenarios.Step) bool {
		return s.Fault != "" && !f.ends(fleet.FaultKind(s.Fault)) && !ofLocations(fleet.FaultKind(s.Fault))
	})
	if i < 0 {
		return ""
	}
	return f.scenario.Steps[i].Fault
}

// ofLocations reports whether the fault is one of what keeps backups, and so of nothing that serves anybody.
func ofLocations(kind fleet.FaultKind) bool {
	k, _ := fleet.KindOf(kind)
	return slices.Equal(k.Roles, []fleet.Role{fleet.Location})
}

// ends reports whether the model takes a fault of the kind for the end of an instance. Builds before definitions 4 took so all that
// they did not know better.
func (f *foresight) ends(kind fleet.FaultKind) bool {
	if f.facts.Definitions > 3 {
		return kind == fleet.Kill || kind == fleet.StoreWipe
	}
	switch kind {
	case fleet.BadConfig, fleet.KeyWipe, fleet.UpstreamError, fleet.UpstreamSlow, fleet.LoadSpike, fleet.ConnectionFlood, fleet.RetryStorm:
		return false
	}
	return true
}

// effect is how long the injectors took.
func (f *foresight) effect() probes.Spread {
	first, _ := f.injected()
	last := time.Duration(0)
	for _, fault := range f.facts.Faults {
		last = max(last, fault.Returned)
	}
	took := max(last-first, 0)
	f.input("injection", "took %s", round(took))
	return probes.Even(0, took)
}

// data predicts for requests that find instances gone: whoever passes them on makes them again elsewhere, until it knows.
func (f *foresight) data(lost []string) Predicted {
	s := probes.Setup{Effect: f.effect(), TTL: f.front.TTL, Repeated: f.front.Retries >= len(lost)}
	checks := f.checks()
	low, mean, high := f.requests(lost)
	watchers := func(requests int) []probes.Watcher { return append(f.passive(requests), checks...) }
	noticed := len(watchers(1)) > 0
	if noticed {
		s.Notice = probes.Spread{Best: probes.Soonest(watchers(low)...).Best, Mean: probes.Soonest(watchers(mean)...).Mean,
			Worst: probes.Soonest(watchers(high)...).Worst}
	}
	f.input("repeated elsewhere", "up to %d times; %d of %d serving instances are lost", f.front.Retries, len(lost), len(f.front.Serving))
	if f.front.Broken > 0 {
		f.input("passed over", "after %d broken requests in a row", f.front.Broken)
	}
	unknown := ""
	if !noticed && !s.Repeated {
		unknown = "nobody passes over what is lost"
	}
	return f.result(s, noticed, unknown)
}

// requests is how many requests it takes to break Broken of them at each lost instance: at least, on the average, at most.
// Where all that serve are lost, one request breaks at as many as it is tried at. Else which one it meets is chance.
func (f *foresight) requests(lost []string) (low, mean, high int) {
	n, serving := f.front.Broken, len(f.front.Serving)
	if len(lost) == serving {
		each := (serving + f.front.Retries) / (f.front.Retries + 1)
		return n * each, n * each, n * each
	}
	return n, n * (serving + len(lost) - 1) / len(lost), n * (serving + len(f.front.Standby))
}

// passive are the clients whose requests show that an instance is gone.
func (f *foresight) passive(requests int) []probes.Watcher {
	w := probes.Watcher{Count: max(requests, 1), Answer: probes.Even(0, detectLag+pollEvery)}
	for _, series := range f.facts.Series {
		if series.Plane == f.plane && !series.Control {
			w.Sources, w.Every = w.Sources+1, max(w.Every, series.Interval)
		}
	}
	if f.front.Broken <= 0 || w.Every <= 0 {
		return nil
	}
	return []probes.Watcher{w}
}

// checks returns the active health check of the front, if there is one.
func (f *foresight) checks() []probes.Watcher {
	c := f.front.Check
	if c.Every <= 0 {
		return nil
	}
	f.input("health check", "each %s, timeout %s, down after %d, up after %d", c.Every, c.Timeout, c.Unhealthy, c.Healthy)
	answer := probes.Even(0, min(detectLag, c.Timeout)) // the faults that there are end a process: who asks it is refused
	return []probes.Watcher{{Every: c.Every, Count: max(c.Unhealthy, 1), Answer: answer, Waits: true}}
}

// control predicts for a control plane that a step brings back, once the drill has seen that it is gone or after a delay.
func (f *foresight) control() Predicted {
	steps := slices.DeleteFunc(slices.Clone(f.scenario.Steps), func(s scenarios.Step) bool { return s.Recover == "" })
	if len(steps) != 1 {
		return Predicted{Unknown: fmt.Sprintf("%d steps bring it back, a prediction is made for one", len(steps)), From: []Input{}}
	}
	step := steps[0]
	s := probes.Setup{Effect: f.effect(), TTL: f.front.TTL}
	noticed := false
	if watchers := f.detector(); step.When == scenarios.Detected && len(watchers) > 0 {
		s.Notice, noticed = probes.Soonest(watchers...), true
	} else if delay, err := step.Delay(); err == nil {
		s.Effect = probes.Even(delay, delay)
		f.input(step.ID, "%s after the first fault", delay)
	}
	if all := len(f.front.Serving) + len(f.front.Standby); all > f.front.Retries+1 && f.front.Check.Every > 0 {
		c := f.front.Check
		s.Readmit = &probes.Watcher{Every: c.Every, Count: max(c.Healthy, 1), Answer: probes.Even(0, min(detectLag, c.Timeout)), Waits: true}
		f.input("health check", "each %s, up after %d", c.Every, c.Healthy)
	}
	past, known := f.facts.Outlook.Actions[step.ID]
	if !known {
		return f.result(s, noticed, fmt.Sprintf("how long %s takes is not known before the scenario was run once", step.Recover))
	}
	s.Act = probes.Spread{Best: past.Quickest / actSpread, Mean: past.Mean, Worst: past.Slowest * actSpread}
	f.input(step.Recover, "took %s to %s in the last runs (%d); from half to twice of that is expected", round(past.Quickest), round(past.Slowest), past.Runs)
	return f.result(s, noticed, "")
}

// detector is how the drill sees that the series of the plane are down.
func (f *foresight) detector() []probes.Watcher {
	var all []probes.Watcher
	for _, series := range f.facts.Series {
		if series.Plane == f.plane && !series.Control && series.Interval > 0 {
			all = append(all, probes.Watcher{Every: series.Interval, Count: detectRun, Answer: probes.Even(0, detectLag+pollEvery)})
			f.input("detected by gwdr", "%d attempts of %s in a row, one each %s; looked at each %s", detectRun, series.Name, series.Interval, pollEvery)
		}
	}
	return all
}

// result computes the prediction; unknown says why there is none of the recovery.
func (f *foresight) result(s probes.Setup, noticed bool, unknown string) Predicted {
	p := probes.Predict(s)
	out := Predicted{Unknown: unknown, From: f.from}
	if noticed {
		out.Detection = expected(p.Detection)
	}
	if unknown == "" {
		out.Recovery = expected(p.Recovery)
	}
	return out
}

func expected(s probes.Spread) *Expected {
	return &Expected{BestS: s.Best.Seconds(), MeanS: s.Mean.Seconds(), WorstS: s.Worst.Seconds()}
}
