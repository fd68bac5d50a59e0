package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/gateway"
)

// Job is one backup: from a gateway to all copies. The exported fields are the options.
type Job struct {
	Source   gateway.Source
	Gateway  string // names the gateway in the spool: a new store at the same gateway descends from its last one
	Copies   []Copy
	Keys     Keys // Recipients, Signer and Trusted
	Policy   Policy
	Spool    string         // directory: lineages, and what is not yet at every location
	Tool     string         // name and version of this program
	Full     bool           // read and pack everything, even if the changes since the last point would do
	Undo     bool           // take a point of a lineage of its own, which nobody takes for the gateway's newest state
	Patience time.Duration  // how long a location may keep us waiting, on top of the transfer; 0 means 30s
	Log      *slog.Logger   // nil: none
	Progress func(Progress) // nil: none; called from one goroutine at a time
}

// Progress says how far a backup came.
type Progress struct {
	Phase    string // export, seal, put
	Location string // put: which
	Done     int64  // seal, put: bytes
	Total    int64  // put: bytes in all
}

// Take makes a backup: it reads what changed since the last point, or everything, seals it into the spool, and puts it to
// all copies at once, together with what a copy lacks of earlier ones. A copy that fails is an error in the Result, not of
// Take, unless all do: then Take fails, and the spool keeps the point for the next run. The error wraps ErrSplitBrain if
// another writer continues the lineage.
func Take(ctx context.Context, job Job) (*Result, error) {
	if err := job.prepare(); err != nil {
		return nil, fmt.Errorf("take backup: %w", err)
	}
	result, err := job.take(ctx)
	if err != nil {
		return result, fmt.Errorf("take backup: %w", err)
	}
	return result, nil
}

// prepare fills in defaults and refuses a job whose points nobody could use.
func (j *Job) prepare() error {
	if j.Log == nil {
		j.Log = slog.New(slog.DiscardHandler)
	}
	j.Patience = cmp.Or(j.Patience, patience)
	report, mu := j.Progress, new(sync.Mutex)
	j.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if report != nil {
			report(p)
		}
	}
	switch {
	case len(j.Copies) == 0:
		return errors.New("there is no location")
	case len(j.Keys.Recipients) == 0:
		return errors.New("there is no recipient to encrypt to")
	case j.Keys.Signer == nil:
		return errors.New("there is no signing key")
	}
	probe := []byte("probe")
	for _, namespace := range []string{PointNamespace, SegmentNamespace, RepoNamespace} {
		if _, err := j.Keys.Trusted.Verify(namespace, probe, j.Keys.Signer.Sign(namespace, probe)); err != nil {
			return fmt.Errorf("the trusted signers do not include the signing key: %w", err)
		}
	}
	return nil
}

func (j *Job) take(ctx context.Context) (*Result, error) {
	started := time.Now()
	s := spool{j.Spool}
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := s.sweep(); err != nil {
		return nil, err
	}
	if err := j.leaveStrangers(); err != nil {
		return nil, err
	}
	probes, endProbes := j.probeAll(ctx)
	defer endProbes()
	made, sealErr := j.snapshot(ctx)
	ships, err := j.shipments(made.Lineage)
	if err != nil {
		return nil, errors.Join(sealErr, err)
	}
	deliveries := j.deliver(ctx, ships, probes) // what is waiting goes out even if there is nothing new
	if sealErr != nil {
		return nil, sealErr
	}
	if !j.Full && needsAll(deliveries) {
		made, ships, deliveries = j.takeAll(ctx, made, ships, deliveries, probes)
	}
	if err := j.tidy(ships); err != nil {
		return nil, err
	}
	result := newResult(made, deliveries, j.Policy)
	result.Committed = ships[0].ballot.committed()
	result.Duration = time.Since(started).Seconds()
	switch {
	case ships[0].ballot.split, !result.Committed && splits(deliveries):
		return result, splitAt(deliveries)
	case result.Stored() == 0:
		return result, fmt.Errorf("no location took it: %w", result.errors(deliveries))
	}
	return result, ctx.Err()
}

// splits reports whether another writer was met, perhaps too late for the vote.
func splits(deliveries []delivery) bool {
	return slices.ContainsFunc(deliveries, func(d delivery) bool { return errors.Is(d.err, ErrSplitBrain) })
}

// splitAt says where another writer's segments are.
func splitAt(deliveries []delivery) error {
	var names []string
	for _, d := range deliveries {
		if errors.Is(d.err, ErrSplitBrain) {
			names = append(names, d.copy.Name)
		}
	}
	return fmt.Errorf("%w, at %s", ErrSplitBrain, strings.Join(names, ", "))
}

// takeAll makes a full point where the one that was made needs what was taken away from a location, and is nowhere else.
// If that fails, what was made before is what there is.
func (j *Job) takeAll(ctx context.Context, made snapshot, ships []*shipment, before []delivery, probes map[string]*probing) (snapshot, []*shipment, []delivery) {
	j.Log.Warn("something that the new point needs was taken away from a location, and is nowhere else; everything is read anew")
	j.Full = true
	again, err := j.snapshot(ctx)
	var anew []*shipment
	if err == nil {
		anew, err = j.shipments(again.Lineage)
	}
	if err != nil {
		j.Log.Warn("everything could not be read anew", "error", err)
		return made, ships, before
	}
	deliveries := j.deliver(ctx, anew, probes)
	for i := range before {
		deliveries[i].value.gone = append(before[i].value.gone, deliveries[i].value.gone...)
	}
	return again, anew, deliveries
}

// needsAll reports whether some copy lacks what only a full backup can give it.
func needsAll(deliveries []delivery) bool {
	return slices.ContainsFunc(deliveries, func(d delivery) bool { return errors.Is(d.err, errLost) })
}

// tidy drops from the spool what every location has.
func (j *Job) tidy(ships []*shipment) error {
	var errs []error
	for _, ship := range ships {
		everywhere, majority := spool{j.Spool}.reached(ship.lineage, j.Copies)
		errs = append(errs, tidyPending(ship.points, j.Copies), ship.queue.tidy(everywhere, majority))
	}
	return errors.Join(errs...)
}
