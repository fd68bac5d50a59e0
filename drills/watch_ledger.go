package drills

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// WatchLedger is the change ledger of a watch.
type WatchLedger struct {
	Every   time.Duration       `json:"every_ns"`
	Timeout time.Duration       `json:"timeout_ns"` // of a change, from its due time
	Kinds   []probes.ChangeKind `json:"kinds"`      // in turn
	Prefix  string              `json:"prefix"`     // begins the id of every object
	// Uncovered says which kinds were asked for and cannot be ledgered on this gateway, and why.
	Uncovered map[probes.ChangeKind]string `json:"uncovered,omitempty"`
	// StopAtMark ends the changes at the first mark: what is restored then meets a gateway that nobody writes to.
	StopAtMark bool          `json:"stop_at_mark,omitempty"`
	Settle     time.Duration `json:"settle_ns"`        // for so long all regions may take to be readable
	RPO        time.Duration `json:"rpo_ns,omitempty"` // promised; 0: no promise
}

// WatchedLedger is what became of the changes. Each Fork is counted from RPAFrom, too.
type WatchedLedger struct {
	RPA
	// RPAFrom is what the recovery point is counted back from: "mark"; "first-unacknowledged", the sending of the first
	// change after the baseline that was not acknowledged; or "end", that of the changes.
	RPAFrom   string                       `json:"rpa_from"`
	RPAFromS  float64                      `json:"rpa_from_s"` // since Started
	Uncovered map[probes.ChangeKind]string `json:"uncovered,omitempty"`
	Findings  []string                     `json:"findings,omitempty"`
}

// readAgain is the pause between two tries to read all regions, and readSlow how long it takes until somebody who waits is told.
const (
	readAgain = 500 * time.Millisecond
	readSlow  = time.Second
)

// openLedger prepares the ledger of the plan, if it has one.
func (v *watching) openLedger() (err error) {
	l := v.Plan.Ledger
	if l == nil {
		return nil
	}
	if v.entries, err = probes.CreateRecorder(filepath.Join(v.dir, LedgerFile)); err != nil {
		return err
	}
	v.ledger = &probes.Ledger{T0: v.t0, Admin: v.Admin, Every: l.Every, Timeout: l.Timeout, Kinds: l.Kinds, Prefix: l.Prefix, Intent: v.entries, Out: v.change, Sample: v.sample}
	return nil
}

func (v *watching) change(e probes.Entry) {
	v.keep(v.entries.Append(e))
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made = append(v.made, e.Change)
}

// startLedger makes changes until ctx ends, if the plan has a ledger.
func (v *watching) startLedger(ctx context.Context) {
	if v.ledger == nil {
		return
	}
	v.probing.Go(func() { v.keep(v.ledger.Run(ctx)) })
}

// cut leaves the objects alone that are there now: a later change would hide what is lost from here on.
func (v *watching) cut(ctx context.Context) {
	switch {
	case v.ledger == nil:
	case v.Plan.Ledger.StopAtMark:
		v.ledger.Stop()
		v.detector.End(probes.AdminSeries, v.offset())
	default:
		v.probing.Go(func() { v.ledger.Cut(ctx) })
	}
}

// readBack reads what all regions have of the changes, once all of it can be read, or the time to settle is over. That the
// watch was interrupted is no reason to know less.
func (v *watching) readBack(ctx context.Context) error {
	if v.ledger == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), v.Plan.Ledger.Settle+scenarios.ReadBackLimit)
	defer cancel()
	defer v.tellIfSlow()()
	until := time.Now().Add(v.Plan.Ledger.Settle)
	for {
		all, unread, err := observe(ctx, v.Admin, v.made)
		holes := len(unread) > 0 || slices.ContainsFunc(all, func(o probes.Observation) bool { return o.Error != "" })
		if err == nil && !holes || time.Now().After(until) || ctx.Err() != nil {
			if err != nil {
				unread = append(unread, UnreadFact{Region: "any", Error: err.Error()})
			}
			return v.writeReadBack(all, unread)
		}
		sleep(ctx, readAgain)
	}
}

// tellIfSlow says after a moment what is waited for, unless end is called before.
func (v *watching) tellIfSlow() (end func()) {
	var telling sync.WaitGroup
	done := make(chan struct{})
	telling.Go(func() {
		select {
		case <-done:
		case <-time.After(readSlow):
			v.screens.tell(WatchEvent{At: v.offset(), Warning: fmt.Sprintf("not all changes can be read back yet: waiting for up to %s, then what can be read is what counts",
				v.Plan.Ledger.Settle)})
		}
	})
	return func() { close(done); telling.Wait() }
}

func (v *watching) writeReadBack(all []probes.Observation, unread []UnreadFact) error {
	for _, u := range unread {
		u.Stage = Reconciling
		if err := v.journal.Append(entryUnread, v.offset(), u); err != nil {
			return err
		}
	}
	w, err := probes.CreateRecorder(filepath.Join(v.dir, FinalFile))
	if err != nil {
		return err
	}
	for _, o := range all {
		err = errors.Join(err, w.Append(o))
	}
	return errors.Join(err, w.Close())
}

func (f *WatchFacts) readLedger(dir string) (err error) {
	if f.Ledger, err = readRecord(f.Complete, filepath.Join(dir, LedgerFile), probes.ReadEntries); err != nil {
		return err
	}
	f.Final, err = readRecord(f.Complete, filepath.Join(dir, FinalFile), probes.ReadObservations)
	return err
}

// compareLedger estimates the loss, and judges it.
func (j *watchJudgement) compareLedger() {
	plan := j.facts.Plan.Ledger
	if plan == nil {
		return
	}
	from, at := j.recoveryFrom()
	l := losses{loss: probes.EstimateLoss(j.facts.Ledger, j.facts.Final, at)}
	w := &WatchedLedger{RPA: newRPA(l.loss), RPAFrom: from, RPAFromS: at.Seconds(), Uncovered: plan.Uncovered, Findings: lossFindings(l.loss, j.facts.Definitions)}
	for _, u := range j.facts.Unread {
		l.unread = append(l.unread, u.Region)
		w.Findings = append(w.Findings, fmt.Sprintf("region %s could not be read back, and is not counted: %s", u.Region, u.Error))
	}
	w.UnreadRegions = l.unread
	j.result.Ledger = w
	promise := func(id, metric, target string, judge func(*ObjectiveResult)) {
		o := ObjectiveResult{ID: id, Metric: metric, Target: target}
		judge(&o)
		j.result.Objectives = append(j.result.Objectives, o)
	}
	if plan.RPO > 0 {
		promise("rpo", scenarios.MetricRPA, "<= "+plan.RPO.String(), func(o *ObjectiveResult) { l.judgeRPA(o, plan.RPO); j.doubtFrom(o, l.loss) })
	}
	for _, kind := range plan.Kinds {
		if kind == probes.RevokeChange {
			promise("no-resurrection", scenarios.MetricResurrected, "== 0", func(o *ObjectiveResult) { l.judgeResurrected(o, 0) })
		}
	}
}

// doubtFrom takes a pass back where nobody gave the mark and changes are lost that were acknowledged after the first one that was
// not: whatever took them came later, and so reaches further back.
func (j *watchJudgement) doubtFrom(o *ObjectiveResult, l probes.Loss) {
	if !j.marked && l.Fork != nil && o.Verdict == Pass {
		o.Value += fmt.Sprintf("; %d of them were acknowledged later than this is counted from: give the mark", l.Fork.Count)
		o.Verdict = Inconclusive
	}
}

// recoveryFrom returns what the recovery point is counted back from.
func (j *watchJudgement) recoveryFrom() (word string, at time.Duration) {
	if j.marked {
		return "mark", j.facts.Marks[0]
	}
	first, last := time.Duration(-1), time.Duration(0)
	for _, e := range j.facts.Ledger {
		last = max(last, e.Done)
		unacknowledged := e.Result == probes.Indeterminate || e.Result == probes.Rejected && !e.Unsent()
		if unacknowledged && e.Sent >= j.facts.Baseline.To && (first < 0 || e.Sent < first) {
			first = e.Sent
		}
	}
	if first >= 0 {
		return "first-unacknowledged", first
	}
	return "end", last
}

// lostForSure returns what the ledger shows to be missed, whatever the prober is worth: its read-back does not depend on it.
func (j *watchJudgement) lostForSure() []string {
	var ids []string
	for _, o := range j.result.Objectives {
		if (o.Metric == scenarios.MetricRPA || o.Metric == scenarios.MetricResurrected) && o.Verdict == Fail {
			ids = append(ids, o.named())
		}
	}
	return ids
}
