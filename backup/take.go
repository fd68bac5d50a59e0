package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
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

// Take makes a backup: it exports the source's state, seals it into the spool, and puts it to all copies at once,
// together with earlier points that a copy lacks. A copy that fails is an error in the Result, not of Take, unless all
// do: then Take fails, and the spool keeps the point for the next run.
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
	if _, err := j.Keys.Trusted.Verify(PointNamespace, probe, j.Keys.Signer.Sign(PointNamespace, probe)); err != nil {
		return fmt.Errorf("the trusted signers do not include the signing key: %w", err)
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
	point, sealErr := j.seal(ctx)
	pending, err := s.pending()
	if err != nil {
		return nil, errors.Join(sealErr, err)
	}
	deliveries := j.deliver(ctx, pending) // what is waiting goes out even if there is nothing new
	if sealErr != nil {
		return nil, sealErr
	}
	if err := s.tidy(pending, j.Copies); err != nil {
		return nil, err
	}
	result := newResult(point.Found, deliveries, j.Policy)
	result.Duration = time.Since(started).Seconds()
	if result.Stored() == 0 {
		return result, fmt.Errorf("no location took it: %w", result.errors(deliveries))
	}
	return result, ctx.Err()
}

// seal exports the source's state and writes a signed point of it to the spool.
func (j *Job) seal(ctx context.Context) (*pendingPoint, error) {
	j.Progress(Progress{Phase: "export"})
	export, err := j.Source.Export(ctx)
	if err != nil {
		return nil, fmt.Errorf("export: %w", err)
	}
	lineage, err := j.lineage(ctx, export.Store)
	if err != nil {
		return nil, err
	}
	s := spool{j.Spool}
	point, err := s.newPending(lineage.Lineage, func(f *os.File) (Pack, error) {
		return sealPack(ctx, f, export.State, j.Keys.Recipients, func(n int64) { j.Progress(Progress{Phase: "seal", Done: n}) })
	}, func(pack Pack) ([]byte, Found) {
		return signPoint(j.point(export, lineage, pack), j.Keys.Signer)
	})
	if err != nil {
		return nil, err
	}
	return point, s.setLast(lineage, point.Found)
}

// point describes the export.
func (j *Job) point(export *gateway.Export, lineage lineageEntry, pack Pack) Point {
	return Point{
		Schema: pointSchema, Lineage: lineage.Lineage, Parent: lineage.Parent, Store: export.Store,
		Revision: export.Revision, Time: export.Time.UTC(), Previous: lineage.Last.SHA256,
		Packs: []Pack{pack}, Digest: export.State.Digest(), Counts: export.State.Counts(),
		Unreachable: append([]gateway.Kind{}, export.Unreachable...), Recipients: j.Keys.RecipientIDs, Tool: j.Tool,
	}
}

// maxPending bounds the points that wait in the spool for a location that is gone.
const maxPending = 32

// tidy drops the points that every location has, and the oldest of those that some location has if there are many.
func (s spool) tidy(newestFirst []*pendingPoint, copies []Copy) error {
	var errs []error
	for i, p := range newestFirst {
		everywhere := true
		for _, c := range copies {
			everywhere = everywhere && p.delivered(c)
		}
		if everywhere || i >= maxPending && p.deliveredAnywhere() {
			errs = append(errs, p.drop())
		}
	}
	return errors.Join(errs...)
}
