package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gwdr/internal/journal"
	"gwdr/probes"
)

// Watch measures targets that somebody else breaks: a drill's measurement and evidence, without a fault of its own.
type Watch struct {
	Plan     WatchPlan
	Probes   []Probe // one for each series of the plan that is neither a vantage point's nor the ledger's
	Vantages []Vantage
	// Admin makes the changes of the plan's ledger, and reads them back. Only needed if it has one.
	Admin    probes.Admin
	Evidence string // directory of all runs and watches
	Tool     string // what writes the evidence
	// Marks brings the instants at which somebody breaks something, with their monotonic reading. RTA runs from the first.
	// Optional.
	Marks  <-chan time.Time
	Events func(WatchEvent) // optional; may be slow, then it misses some
	// Observe gets every event at once, from several goroutines at the same time. It must not block: the prober waits for
	// it. Optional.
	Observe func(WatchEvent)
	// Report writes the report of the watch in dir. Optional.
	Report func(dir string, r *WatchResult) error
}

// WatchPlan is what is watched, by which definitions, and what was promised.
type WatchPlan struct {
	Targets  []WatchTarget  `json:"targets"`
	Series   []WatchSeries  `json:"series"`
	Vantages []WatchVantage `json:"vantages,omitempty"`
	Baseline time.Duration  `json:"baseline_ns"`      // for so long nothing should be broken yet
	Stable   time.Duration  `json:"stable_ns"`        // for so long ok attempts show that a series is up
	For      time.Duration  `json:"for_ns,omitempty"` // 0: until it is interrupted
	RTO      time.Duration  `json:"rto_ns,omitempty"` // promised; 0: no promise
	SLO      float64        `json:"slo,omitempty"`    // promised share of good attempts, as 0.999; 0: no promise
	Ledger   *WatchLedger   `json:"ledger,omitempty"` // nil: no changes are made
}

// WatchSeries is a series with the target that it asks.
type WatchSeries struct {
	probes.Series
	Target  int    `json:"target"`            // index in WatchPlan.Targets
	Fresh   bool   `json:"fresh"`             // a new connection for each attempt
	Vantage string `json:"vantage,omitempty"` // from where it is asked; empty is here
}

// WatchEvent tells the screens what happens. It is never evidence.
type WatchEvent struct {
	At      time.Duration // since t0
	Sample  *probes.Sample
	Courses []probes.Course // of every series, several times a second
	Armed   bool            // the baseline is over
	Mark    bool            // somebody breaks something now
	Warning string
}

// looks is the time between two looks at how all series fare.
const looks = 100 * time.Millisecond

// startSlack is how long all probes may take until their first attempt, half of it to make connections.
const startSlack = 2 * probes.WarmUp

// Run measures until ctx ends or Plan.For is over, and judges what was recorded. The end of ctx is no error. An error says
// that there is no evidence, or not all of it.
func (w *Watch) Run(ctx context.Context) (*WatchResult, error) {
	v, err := w.begin(time.Now())
	if err != nil {
		return nil, err
	}
	v.measure(ctx)
	v.keep(v.readBack(ctx))
	err = v.end(ctx)
	v.screens.close()
	if err != nil {
		return nil, fmt.Errorf("write evidence in %s: %w", v.dir, err)
	}
	facts, err := ReadWatch(v.dir)
	if err != nil {
		return nil, err
	}
	result := JudgeWatch(facts)
	if w.Report != nil {
		err = w.Report(v.dir, result)
	}
	return result, err
}

// watching is one run of a Watch.
type watching struct {
	*Watch
	dir      string
	t0       time.Time
	journal  *journal.Journal
	samples  *probes.Recorder
	entries  *probes.Recorder // of the ledger; nil if there is none
	ledger   *probes.Ledger   // nil if there is none
	baseline Span
	detector *probes.Detector // of the series that are probed from here
	points   []*vantagePoint
	screens  *stream[WatchEvent]
	probing  sync.WaitGroup
	stop     context.CancelFunc // of the measurement: evidence cannot be written

	mu    sync.Mutex
	err   error             // the first failure to write evidence
	early []probes.Baseline // of every series, as planned
	armed bool
	made  []probes.Change // of the ledger
}

// begin makes the evidence directory and writes down what will be watched.
func (w *Watch) begin(t0 time.Time) (_ *watching, err error) {
	id := watchID(t0)
	v := &watching{Watch: w, dir: filepath.Join(w.Evidence, id), t0: t0}
	if err := os.MkdirAll(w.Evidence, 0o700); err != nil {
		return nil, fmt.Errorf("make evidence directory: %w", err)
	}
	if err := os.Mkdir(v.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make evidence directory: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write evidence in %s: %w", v.dir, errors.Join(err, v.close()))
		}
	}()
	if v.journal, err = journal.Create(filepath.Join(v.dir, JournalFile)); err != nil {
		return nil, err
	}
	if v.samples, err = probes.CreateRecorder(filepath.Join(v.dir, SamplesFile)); err != nil {
		return nil, err
	}
	if err := v.openLedger(); err != nil {
		return nil, err
	}
	start := watchStart{Schema: WatchSchema, ID: id, Tool: w.Tool, Evidence: v.dir, T0: t0.UTC(), PID: os.Getpid(), Definitions: definitions}
	v.baseline.From = v.offset()
	v.baseline.To = v.baseline.From + w.Plan.Baseline + startSlack
	for _, e := range []struct {
		kind string
		data any
	}{{entryStart, start}, {entryWatchPlan, w.Plan}, {entryBaseline, v.baseline}} {
		if err := v.journal.Append(e.kind, v.offset(), e.data); err != nil {
			return nil, err
		}
	}
	v.detector = w.Plan.detector("")
	for _, from := range w.Vantages {
		v.points = append(v.points, &vantagePoint{watching: v, Vantage: from, detector: w.Plan.detector(from.Name)})
	}
	for _, s := range w.Plan.Series {
		v.early = append(v.early, probes.Baseline{Series: s.Series, From: v.baseline.From, To: v.baseline.To})
	}
	v.screens = newStream(w.Events, w.Observe)
	return v, nil
}

func (p WatchPlan) series() []probes.Series {
	all := make([]probes.Series, len(p.Series))
	for i, s := range p.Series {
		all[i] = s.Series
	}
	return all
}

// detector watches the series of one vantage point: each has a clock of its own.
func (p WatchPlan) detector(vantage string) *probes.Detector {
	var of []probes.Series
	for _, s := range p.Series {
		if s.Vantage == vantage {
			of = append(of, s.Series)
		}
	}
	return probes.NewDetector(p.Stable, p.Baseline, of...)
}

func (v *watching) offset() time.Duration { return time.Since(v.t0) }

// measure probes until ctx ends, the time is over, or evidence cannot be written.
func (v *watching) measure(ctx context.Context) {
	probing, end := context.WithCancel(context.WithoutCancel(ctx))
	if v.Plan.For > 0 {
		ctx, v.stop = context.WithTimeout(ctx, v.Plan.For)
	} else {
		ctx, v.stop = context.WithCancel(ctx)
	}
	defer v.stop()
	for _, p := range v.Probes {
		v.probing.Go(func() { v.keep(p.Run(probing, v.t0, v.sample)) })
	}
	for _, p := range v.points {
		v.probing.Go(func() { p.run(probing) })
	}
	v.startLedger(probing)
	v.look(ctx)
	end()
	v.probing.Wait()
}

// look tells the screens how the series fare, and writes marks down, until ctx ends.
func (v *watching) look(ctx context.Context) {
	tick := time.NewTicker(looks)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case at := <-v.Marks:
			v.mark(at.Sub(v.t0))
			v.cut(ctx)
		case <-tick.C:
			now := v.offset()
			v.arm(now)
			v.screens.tell(WatchEvent{At: now, Courses: v.courses(now)})
		}
	}
}

// courses says how every series fares: one from elsewhere as of when it was last heard of.
func (v *watching) courses(now time.Duration) []probes.Course {
	all := v.detector.Courses(now)
	for _, p := range v.points {
		all = append(all, p.courses()...)
	}
	return all
}

func (v *watching) mark(at time.Duration) {
	v.keep(v.journal.Append(entryMark, v.offset(), markFact{At: at}))
	v.screens.tell(WatchEvent{At: at, Mark: true})
}

// arm ends the baseline: what is slow is known from here on. Attempts go on meanwhile, and none may wait for it.
func (v *watching) arm(now time.Duration) {
	v.mu.Lock()
	if v.armed || now < v.baseline.To {
		v.mu.Unlock()
		return
	}
	v.armed = true
	v.mu.Unlock() // and nothing is added to what was early
	limits := map[string]time.Duration{}
	for i := range v.early {
		if limit, ok := v.early[i].Limit(); ok {
			limits[v.early[i].Series.Name] = limit
		}
	}
	v.detector.SetLimits(limits)
	for _, p := range v.points {
		p.detector.SetLimits(limits)
	}
	v.screens.tell(WatchEvent{At: now, Armed: true})
	if doubt := v.doubt(); doubt != "" {
		v.screens.tell(WatchEvent{At: now, Warning: doubt})
	}
}

// doubt returns why the baseline is of no use to a judge, or "".
func (v *watching) doubt() string {
	for i := range v.early {
		for _, f := range v.early[i].Check(v.Plan.Baseline) {
			return f.String()
		}
	}
	return ""
}

func (v *watching) sample(s probes.Sample) {
	v.keep(v.samples.Append(&s))
	v.show(&s, v.detector)
}

// show hands a sample, whose instants are on our clock, to everybody who looks while it is measured.
// They keep it: it must not be changed any more.
func (v *watching) show(s *probes.Sample, detector *probes.Detector) {
	detector.Add(*s)
	v.screens.offer(WatchEvent{At: s.Done, Sample: s})
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.armed {
		return
	}
	if i := slices.IndexFunc(v.early, func(b probes.Baseline) bool { return b.Series.Name == s.Series }); i >= 0 {
		v.early[i].Add(s)
	}
}

// keep remembers the first failure, which ends the measurement: a hole in the evidence is worth nothing.
func (v *watching) keep(err error) {
	if err == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err == nil {
		v.err = err
		v.stop()
	}
}

// end closes the record. ctx tells whether somebody interrupted it.
func (v *watching) end(ctx context.Context) error {
	v.mu.Lock()
	err := v.err
	v.mu.Unlock()
	if err != nil {
		_ = v.close() // which says the same once more
		return err
	}
	now := time.Now()
	drift := now.Sub(v.t0) - now.Round(0).Sub(v.t0.Round(0))
	if v.Plan.For > 0 && ctx.Err() != nil {
		err = v.journal.Append(entryAbort, v.offset(), AbortFact{Cause: AbortSignal, Reason: "interrupted before its time was over"})
	}
	err = errors.Join(err, v.closeRecords()) // before the end is written: a record with an end is whole
	if err == nil {
		err = errors.Join(v.journal.Append(entryClock, v.offset(), clockFact{Drift: drift.Seconds()}),
			v.journal.Append(entryEnd, v.offset(), endFact{Clean: true}))
	}
	return errors.Join(err, v.journal.Close())
}

// closeRecords ends samples and ledger.
func (v *watching) closeRecords() (err error) {
	if v.samples != nil {
		err = v.samples.Close()
	}
	if v.entries != nil {
		err = errors.Join(err, v.entries.Close())
	}
	return err
}

// close lets go of what begin opened.
func (v *watching) close() (err error) {
	err = v.closeRecords()
	if v.journal != nil {
		err = errors.Join(err, v.journal.Close())
	}
	return err
}
