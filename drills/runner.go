package drills

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"time"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

// Runner runs one drill. All fields are required unless they say otherwise.
type Runner struct {
	Scenario *scenarios.Scenario
	// Open opens what the drill is to break, and starts it if need be. It is called once it is known that no other drill is
	// at work here. Its error wraps ErrRefused if what is there is not what the scenario needs.
	Open     func(ctx context.Context) (*Site, error)
	Evidence string      // directory of all runs
	Tool     string      // what writes the evidence
	Events   func(Event) // optional; may be slow, then it misses some
	// Observe gets every event at once, from several goroutines at the same time, and how each series fares besides. It must
	// not block: the prober waits for it. Optional.
	Observe func(Event)
	// Report writes the report of the run in dir, which is this one or one before that was killed. It is called while no
	// other run can begin, because the next one names the report. Optional.
	Report func(dir string, r *Result) error
	// Calibration is the newest calibration of this host, a document that calibration.Parse accepts. It is kept with the
	// evidence, and quoted in the result. Optional.
	Calibration []byte
	// Bounds hold besides those of the scenario. Optional.
	Bounds scenarios.Bounds
	// Reach says how the fleet is reached, in lines that go into the plan: who approves one approves that as well. Optional.
	Reach []string
	// Abort is the command that aborts the drill, for those who are told of it. Optional.
	Abort string
	// Approve returns nil if somebody wants exactly this plan to be carried out, whose hash is that of its file. It is called
	// before anything is announced or measured. Optional.
	Approve func(ctx context.Context, p *scenarios.Plan, hash string) error
	// Notify tells somebody what happens, within a time of its own. What it returns refuses a drill that was only announced,
	// and is a warning later. It is never called twice at the same time. Optional.
	Notify   func(ctx context.Context, n Notice) error
	Patience Patience
	Log      *slog.Logger
}

// Site is where a drill takes place.
type Site struct {
	Fleet    fleet.Fleet
	Probes   []Probe
	Admin    probes.Admin // nil: no change ledger
	Recovery Recovery
	// Backup returns a backup no older than maxAge that was verified at two locations or more, and takes one if there is
	// none. With maxAge 0 it always takes one. Only called if the scenario asks for backups.
	Backup func(ctx context.Context, maxAge time.Duration) (Backup, error)
	// Fronts says of each plane who passes its requests on, and how: what a prediction is made of. It is asked just before
	// anything is broken. Optional.
	Fronts func(ctx context.Context) (map[probes.Plane]Front, error)
	// Health returns to which instances requests are sent, by plane and id. It is asked again and again. Optional.
	Health func(ctx context.Context) (map[probes.Plane]map[string]bool, error)
	Guard  func(ctx context.Context, dir string, lease time.Duration) (Guard, error)
	Close  func() error // optional: ends what Open started
}

// Probe is one series and what makes its attempts.
type Probe struct {
	probes.Series
	Guardrail string // the attempts are for this guardrail only, and Plane is empty
	// Run makes the attempts until ctx ends, and hands each to out, which may be called concurrently.
	Run func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error
}

// Recovery is what an operator does to bring the gateway back. Everything may be repeated.
type Recovery struct {
	Promote func(ctx context.Context, region string) error
	Restore func(ctx context.Context) error
	// Leader returns the region that takes writes. Only called if a step promotes another one.
	Leader func(ctx context.Context) (region string, err error)
}

// Run runs the drill through its whole lifecycle and judges what was recorded. Cancelling ctx aborts it: whatever was
// injected is reverted first.
//
// The result is nil only if there is no evidence directory of the run. The error wraps ErrRefused if the drill was not
// ready, and context.Canceled if it was interrupted; in both cases nothing was injected. All other ends of a drill,
// failed, aborted and dirty ones too, are results without an error, unless evidence could not be written.
func (r *Runner) Run(ctx context.Context) (*Result, error) {
	t0 := time.Now()
	r.Scenario.DrawSeeds(func() uint64 { return 1 + rand.Uint64N(1<<53-1) }) // which every reader of JSON can hold
	rec, err := createRecord(r, t0)
	if err != nil {
		return nil, err
	}
	d := &drill{Runner: r, record: rec, screens: newStream(r.Events, r.Observe)}
	d.notices = newNotices(d)
	refusal := d.run(ctx)
	err = errors.Join(d.failed(), d.leave())
	result, judged := d.judge()
	if r.Report != nil {
		judged = errors.Join(judged, r.Report(d.record.run.Dir, result))
	}
	err = errors.Join(err, judged, d.close())
	d.notices.end(result)
	d.screens.tell(Event{At: d.offset(), Result: result})
	d.screens.close()
	return result, errors.Join(refusal, err)
}

// drill is one run of a Runner.
type drill struct {
	*Runner
	*record
	*Site
	screens *stream[Event]
	notices *notices
	hash    string // of the plan
	meter   *meter
	plan    *scenarios.Plan
	leader  string // the region that led before the drill, if a step promotes another
	guard   Guard
	heart   *heart
	patrol  *patrol
	faults  faults
	abort   context.CancelCauseFunc // ends what happens between arming and reverting
}

// run is the lifecycle. An error says that nothing was injected.
func (d *drill) run(ctx context.Context) error {
	err := d.prepare(ctx)
	if err == nil {
		err = d.breakAndMend(ctx)
	}
	if d.meter != nil {
		d.meter.stop()
	}
	d.closeMeasurements()
	if hole := d.failed(); hole != nil { // also one that came after the verdict was in sight: what else is not there, nobody knows
		d.note(entryAbort, AbortFact{Cause: AbortError, Reason: "evidence cannot be written: " + hole.Error()})
	}
	d.note(entryClock, clockFact{Drift: d.drift().Seconds()})
	d.note(entryEnd, endFact{Clean: d.faults.clean()})
	if d.guard != nil && d.faults.clean() {
		d.releaseGuard() // not before: until then, a drill that is killed leaves a record without an end, which the guard closes
	}
	return err
}

// stage is a phase with what happens in it.
type stage struct {
	phase Phase
	do    func(context.Context) error
}

// prepare goes from Planned to Armed, without touching anything. A STOP file ends it at once.
func (d *drill) prepare(ctx context.Context) error {
	watched, stop := d.untilStopped(ctx)
	defer stop()
	for _, s := range []stage{
		{Planned, func(context.Context) error { return d.begin(ctx) }}, // what is opened lasts longer than this
		{Validated, d.validate},
		{Preflight, d.preflight},
		{Announced, d.announce},
		{Baseline, d.baseline},
		{Armed, d.arm},
	} {
		detail := ""
		if s.phase == Announced {
			detail = d.announcement()
		}
		err := d.enter(s.phase, detail)
		if err == nil {
			err = s.do(watched)
		}
		if err == nil {
			err = context.Cause(watched)
		}
		if err != nil && watched.Err() != nil {
			err = context.Cause(watched) // whatever failed, failed because of it
		}
		if err != nil {
			return d.refuse(ctx, s.phase, err)
		}
	}
	return nil
}

// untilStopped returns a context that ends with a StopError when a STOP file is there.
func (d *drill) untilStopped(ctx context.Context) (watched context.Context, stop func()) {
	watched, cancel := context.WithCancelCause(ctx)
	go func() {
		for sleep(watched, patrolEvery) == nil {
			if stopped(d.Evidence) {
				cancel(&StopError{filepath.Join(d.Evidence, stopFile)})
			}
		}
	}()
	return watched, func() { cancel(nil) }
}

// breakAndMend goes from Injecting to Clean or Dirty. Whatever happens in between, what was injected is reverted.
func (d *drill) breakAndMend(ctx context.Context) error {
	broken, cancel := context.WithCancelCause(ctx)
	d.abort = cancel
	d.patrol = startPatrol(broken, d)
	if err := d.breakIt(broken); err != nil {
		d.aborting(broken, err)
	}
	cancel(nil)
	d.patrol.wait()
	d.mend(context.WithoutCancel(ctx))
	if d.faults.none() && ctx.Err() != nil {
		return fmt.Errorf("interrupted before anything was injected: %w", context.Canceled)
	}
	return nil
}

// breakIt goes from Injecting to Sustain.
func (d *drill) breakIt(ctx context.Context) error {
	if err := newCourse(d).run(ctx); err != nil {
		return err
	}
	for _, s := range []stage{
		{Observing, d.awaitRecovery},
		{Recovered, d.stopDeadline},
		{Sustain, d.sustain},
	} {
		if err := errors.Join(d.enter(s.phase, ""), s.do(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// mend goes from Reverting to Clean or Dirty.
func (d *drill) mend(ctx context.Context) {
	d.enter(Reverting, "")
	if d.revert(ctx) {
		d.enter(Settling, "")
		if !errors.Is(d.settle(ctx), ErrFleetGone) {
			d.failBack(ctx)
		}
		d.enter(Reconciling, "")
		d.reconcile(ctx)
	}
	d.scan(ctx)
	if d.faults.clean() {
		d.enter(Clean, "")
		return
	}
	d.enter(Dirty, "run gwdr drill revert "+d.record.run.ID)
	d.abandonGuard()
}

// enter journals the transition before anything of the phase happens.
func (d *drill) enter(p Phase, detail string) error {
	err := d.note(entryPhase, phaseFact{Phase: p, Detail: detail})
	d.screens.tell(Event{At: d.offset(), Phase: &PhaseEvent{Phase: p, Detail: detail}})
	d.notices.phase(p, detail)
	return err
}

// refuse records why the drill ends before anything was injected.
func (d *drill) refuse(ctx context.Context, p Phase, err error) error {
	fact := AbortFact{Cause: AbortRefused, Reason: fmt.Sprintf("%s: %v", p, err)}
	switch {
	case ctx.Err() != nil:
		fact = AbortFact{Cause: AbortSignal, Reason: "interrupted before anything was injected"}
		err = fmt.Errorf("%s: %w", fact.Reason, context.Canceled)
	case errors.As(err, new(*StopError)):
		fact = AbortFact{Cause: AbortStop, Reason: fmt.Sprintf("a %s file was created before anything was injected", stopFile)}
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	case d.failed() != nil || p == Planned && !errors.Is(err, ErrRefused):
		fact.Cause = AbortError
	case !errors.Is(err, ErrRefused):
		err = fmt.Errorf("%w: %w", ErrRefused, err)
	}
	d.note(entryAbort, fact)
	return err
}

// begin opens the site.
func (d *drill) begin(ctx context.Context) (err error) {
	if d.Site, err = d.Open(ctx); err != nil {
		return err
	}
	d.meter = newMeter(d)
	return nil
}

// leave ends what begin started.
func (d *drill) leave() error {
	if d.Site == nil || d.Site.Close == nil {
		return nil
	}
	if err := d.Site.Close(); err != nil {
		return fmt.Errorf("leave the fleet: %w", err)
	}
	return nil
}

// drift returns how far the monotonic clock went apart from the wall clock since t0.
func (d *drill) drift() time.Duration {
	now := time.Now()
	return now.Sub(d.t0) - now.Round(0).Sub(d.t0.Round(0))
}

// judge reads the evidence back, so that the verdict rests on nothing that others cannot read.
func (d *drill) judge() (*Result, error) {
	facts, scenario, err := ReadFacts(d.record.run.Dir)
	if err != nil {
		return &Result{Schema: Schema, ID: d.record.run.ID, Scenario: d.record.run.Scenario, Verdict: Errored,
			Reason: err.Error(), Clean: d.faults.clean(), Evidence: d.record.run.Dir}, err
	}
	return Judge(scenario, facts), nil
}
