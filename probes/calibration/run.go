package calibration

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gwdr/probes"
)

// Runner makes the outages while its probers run.
type Runner struct {
	Plan   Plan
	Probes []Probe // one of them is a control target
	Faults []Fault
	Seed   uint64
	Told   func(k Known, no, of int) // optional: after each outage
}

// Probe is one series, and what makes its attempts until ctx ends; out may be called concurrently.
type Probe struct {
	probes.Series
	Run func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error
}

// Fault begins and ends outages of one kind. Set returns when every request that comes from now on meets the outage, or none
// does any more.
type Fault struct {
	Kind Kind
	Set  func(down bool) error
}

// How long is waited for a baseline that holds and for a recovery, before it is left to the guards to say so.
const (
	patience  = 10 * time.Second
	pollEvery = 5 * time.Millisecond
)

// Run makes every outage of the plan. It returns an error if ctx ends before, or if an outage could not be made or ended.
func (r *Runner) Run(ctx context.Context) (Record, error) {
	s := newSession(r)
	probing, stop := context.WithCancel(ctx)
	defer stop()
	failed := s.probe(probing, r.Probes)
	steps := r.Plan.steps(r.Faults, r.Seed)
	for i, step := range steps {
		if err := s.outage(probing, step); err != nil {
			stop()
			return Record{}, errors.Join(err, <-failed)
		}
		if r.Told != nil {
			r.Told(s.record.Known[i], i+1, len(steps))
		}
	}
	stop()
	if err := <-failed; err != nil {
		return Record{}, err
	}
	s.end()
	return s.record, nil
}

// session is one Run.
type session struct {
	*Runner
	t0       time.Time
	detector *probes.Detector
	mu       sync.Mutex
	record   Record // its samples are guarded by mu
}

func newSession(r *Runner) *session {
	s := &session{Runner: r, t0: time.Now()}
	s.record = Record{Plan: r.Plan, Seed: r.Seed, Started: s.t0.UTC()}
	for _, p := range r.Probes {
		s.record.Series = append(s.record.Series, p.Series)
	}
	s.detector = probes.NewDetector(r.Plan.Stable, r.Plan.Baseline, s.record.Series...)
	return s
}

func (s *session) now() time.Duration { return time.Since(s.t0) }

// probe starts all probers; what it returns gets their errors, once they have all ended.
func (s *session) probe(ctx context.Context, all []Probe) <-chan error {
	var probing sync.WaitGroup
	errs := make([]error, len(all))
	for i, p := range all {
		probing.Go(func() { errs[i] = p.Run(ctx, s.t0, s.take) })
	}
	failed := make(chan error, 1)
	go func() { probing.Wait(); failed <- errors.Join(errs...) }()
	return failed
}

func (s *session) take(sample probes.Sample) {
	s.detector.Add(sample)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.record.Samples = append(s.record.Samples, sample)
}

// outage makes one, and waits until the series are shown to be up again. Its baseline begins after the outage before: an
// answer that had been kept back would make L longer.
func (s *session) outage(ctx context.Context, step step) error {
	began := s.now()
	steady := func() bool { return s.now()-began >= s.Plan.Baseline && s.detector.BaselineHolds(s.now()) }
	if err := s.await(ctx, steady); err != nil {
		return err
	}
	if err := sleep(ctx, step.wait); err != nil {
		return err
	}
	k := Known{Kind: step.fault.Kind, From: max(0, s.now()-s.Plan.Baseline)}
	s.setLimits(k.From)
	if err := s.down(ctx, step, &k); err != nil {
		return fmt.Errorf("make outage %s: %w", step.fault.Kind, err)
	}
	err := s.await(ctx, func() bool { return s.detector.RecoveredSince(k.Ended.To, s.now()) })
	k.To = s.now()
	s.record.Known = append(s.record.Known, k)
	return err
}

// down makes the outage and ends it, also if ctx ends, and reads the clock before and after both.
func (s *session) down(ctx context.Context, step step, k *Known) error {
	k.Began.From = s.now()
	err := step.fault.Set(true)
	k.Began.To = s.now()
	if err == nil {
		err = sleep(ctx, step.length)
	}
	k.Ended.From = s.now()
	err = errors.Join(err, step.fault.Set(false))
	k.Ended.To = s.now()
	return err
}

// setLimits does what a drill does when its baseline ends: what is slow is known from here on.
func (s *session) setLimits(from time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detector.SetLimits(probes.Limits(s.record.Samples, from, s.now()))
}

// end completes the record.
func (s *session) end() {
	slices.SortFunc(s.record.Samples, func(a, b probes.Sample) int { return int(a.Due - b.Due) })
	now := time.Now()
	s.record.Ended = now.UTC()
	s.record.Drift = now.Sub(s.t0) - now.Round(0).Sub(s.t0.Round(0))
}

// await waits until it is so, for as long as patience lasts. An error says that ctx ended.
func (s *session) await(ctx context.Context, so func() bool) error {
	for began := s.now(); !so() && s.now()-began < patience; {
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// sleep waits, or returns the error of ctx when that ends.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
