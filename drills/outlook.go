package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"gwdr/probes"
)

// Front is who passes the requests of a plane on to the instances, as it is configured: what it does by itself when one of
// them is gone. What is zero it does not do.
type Front struct {
	Name    string   `json:"name"`
	Serving []string `json:"serving"`           // ids of the instances that take the requests now
	Standby []string `json:"standby,omitempty"` // those that take them when none of these works
	Check   Check    `json:"check,omitzero"`
	// Broken is after how many broken requests in a row an instance is passed over; 0: never.
	Broken  int           `json:"broken,omitempty"`
	Retries int           `json:"retries,omitempty"` // how often a request that an instance broke is made again at another
	TTL     time.Duration `json:"ttl_ns,omitempty"`  // for so long clients may keep the address of what is gone
}

// Check is an active health check.
type Check struct {
	Every     time.Duration `json:"every_ns"`
	Timeout   time.Duration `json:"timeout_ns"`
	Unhealthy int           `json:"unhealthy"` // failures in a row
	Healthy   int           `json:"healthy"`   // successes in a row
}

// Outlook is what was known before anything was broken of how the gateway comes back: what a prediction is made of. It is
// journalled before the first injection.
type Outlook struct {
	Fronts  map[probes.Plane]Front `json:"fronts"`
	Actions map[string]Past        `json:"actions"` // by step
}

// Past is how long a recovery action took in earlier runs.
type Past struct {
	Runs     int           `json:"runs"`
	Quickest time.Duration `json:"quickest_ns"`
	Mean     time.Duration `json:"mean_ns"`
	Slowest  time.Duration `json:"slowest_ns"`
}

// check refuses what nothing can be predicted from.
func (o *Outlook) check() error {
	if o == nil {
		return nil
	}
	for _, f := range o.Fronts {
		if f.Retries < 0 || f.Broken < 0 {
			return fmt.Errorf("front %q repeats or counts less than nothing", f.Name)
		}
	}
	return nil
}

// pastRuns is how many earlier runs of a scenario are looked at.
const pastRuns = 10

// outlook journals what is known of the recovery. That nothing is known of it stops no drill.
func (d *drill) outlook(ctx context.Context) error {
	o := Outlook{Actions: map[string]Past{}}
	if d.Fronts != nil {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		var err error
		if o.Fronts, err = d.Fronts(ctx); err != nil {
			d.Log.Warn("no prediction", "err", err)
		}
	}
	runs, err := Runs(d.Evidence)
	if err != nil {
		return err
	}
	took := map[string][]time.Duration{}
	for i, looked := len(runs)-1, 0; i >= 0 && looked < pastRuns; i-- {
		if runs[i].Scenario != d.record.run.Scenario || runs[i].ID == d.record.run.ID {
			continue
		}
		looked++
		for step, t := range actionsOf(runs[i].Dir) {
			took[step] = append(took[step], t)
		}
	}
	for step, all := range took {
		o.Actions[step] = pastOf(all)
	}
	return d.note(entryOutlook, o)
}

func pastOf(took []time.Duration) Past {
	p := Past{Runs: len(took), Quickest: took[0]}
	for _, t := range took {
		p.Quickest, p.Slowest = min(p.Quickest, t), max(p.Slowest, t)
		p.Mean += t / time.Duration(len(took))
	}
	return p
}

// actionsOf returns how long each recovery action of a run took that succeeded. What cannot be read tells nothing.
func actionsOf(dir string) map[string]time.Duration {
	entries, _ := readJournal(filepath.Join(dir, JournalFile)) // of a torn one, what there is
	begun, took := map[string]time.Duration{}, map[string]time.Duration{}
	for _, e := range entries {
		var s StepFact
		if e.Type != entryStep || json.Unmarshal(e.Data, &s) != nil {
			continue
		}
		at := seconds(e.OffsetS)
		if from, ok := begun[s.ID]; ok && s.Done && s.Error == "" {
			took[s.ID] = at - from
		} else if !ok {
			begun[s.ID] = at
		}
	}
	return took
}
