package probes

import "time"

// fullServiceFactor is how much slower than in the baseline a gateway may be at full service.
const fullServiceFactor = 1.5

// FullService returns when full service was back after the injection, since t0: for the stability window from then on at
// least 99 % of the attempts had their answer within 1.5 × the baseline's p99, and each planned instance answered, the last
// of them for the first time at the instant returned. It is false if that was not seen. It may reorder samples.
func FullService(samples []Sample, w Window, planned ...string) (time.Duration, bool) {
	sortByDue(samples)
	until := w.Until
	if until == 0 {
		until = forever
	}
	baseline := latency(between(samples, w.From, w.Inject))
	if baseline.Count == 0 {
		return 0, false
	}
	limit := time.Duration(fullServiceFactor * float64(baseline.P99))
	window, answered := sliding{length: w.Stable}, map[string]time.Duration{} // when a good attempt of an instance was due last
	samples = between(samples, w.Inject, until)
	for i := range samples {
		s := &samples[i]
		window.add(s.Due, judge(s, limit) == good)
		if judge(s, limit) != good {
			continue
		}
		answered[s.Instance] = s.Due
		if !window.steady(w.Inject, upShare) || !allSince(answered, planned, window.oldest().due) {
			continue
		}
		if at, all := firstAnswers(between(samples, window.oldest().due, s.Due+1), limit, planned); all {
			return at, true
		}
	}
	return 0, false
}

// allSince reports whether each planned instance has answered an attempt that was due since then.
func allSince(answered map[string]time.Duration, planned []string, since time.Duration) bool {
	for _, instance := range planned {
		if due, ok := answered[instance]; !ok || due < since {
			return false
		}
	}
	return true
}

// firstAnswers returns when the first good answer had come of the instance whose came last, or of anybody if none is planned;
// and whether all have answered.
func firstAnswers(samples []Sample, limit time.Duration, planned []string) (last time.Duration, all bool) {
	first := map[string]time.Duration{}
	for i := range samples {
		s := &samples[i]
		if judge(s, limit) != good {
			continue
		}
		if last == 0 {
			last = s.Done
		}
		if at, ok := first[s.Instance]; !ok || s.Done < at {
			first[s.Instance] = s.Done
		}
	}
	for _, instance := range planned {
		at, ok := first[instance]
		if !ok {
			return 0, false
		}
		last = max(last, at)
	}
	return last, true
}
