// Package restore brings a gateway's configuration back from whatever the locations still hold: it picks the newest
// point that verifies, lays the revocations known anywhere over it, plans the difference to the live gateway, applies it
// and proves the result.
package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/gateway"
)

// Restore is one restore of a gateway: Plan, show it to whoever decides, then Apply.
type Restore struct {
	Source
	Target   gateway.Target
	Only     []gateway.Kind                                      // kinds to restore; none means all. Key brings Revocation along
	Match    []Match                                             // of these, the entities that one of them matches; none means all
	NoDelete bool                                                // keep what the target has and the point has not
	Doubtful RevocationPolicy                                    // what becomes of keys in doubt; empty: FailClosed
	Rate     float64                                             // changes a second that the target is given at most; 0: all at once
	Probe    func(ctx context.Context, s *gateway.State) []Check // of the data plane after the restore; may be nil
}

// ErrNothing is wrapped when no location holds a point that can be restored.
var ErrNothing = errors.New("nothing restorable")

// ErrNoSuchPoint is wrapped when there are points, but none that Restore.At allows.
var ErrNoSuchPoint = errors.New("no such point")

// ErrAmbiguous is wrapped when several points begin with the name in Restore.At.
var ErrAmbiguous = errors.New("is ambiguous")

// ErrGap is wrapped when the wanted state lies behind changes that are not known. Source.AllowGap goes on all the same.
var ErrGap = errors.New("the log does not lead there")

// ErrTarget is wrapped when the gateway cannot be read.
var ErrTarget = errors.New("read gateway")

// ErrSealed is wrapped when points are there and whole, but encrypted for other identities than those at hand.
var ErrSealed = errors.New("the identity does not fit")

// ErrMoved is wrapped when the gateway was changed after the plan was made.
var ErrMoved = errors.New("gateway was changed since the plan was made")

// ErrDigest is wrapped when the gateway, read back after the restore, is not what was planned.
var ErrDigest = errors.New("gateway is not what was restored")

// ErrDataPlane is wrapped when the configuration is restored but the data plane does not serve it.
var ErrDataPlane = errors.New("data plane does not serve the restored configuration")

// Finding is something that the person who restores has to know.
type Finding struct {
	Subject string `json:"subject"` // a location, a point, a kind, an entity
	Text    string `json:"finding"`
}

// String is the finding on one line: errors that were joined stay apart.
func (f Finding) String() string { return f.Subject + ": " + strings.ReplaceAll(f.Text, "\n", "; ") }

// Plan reads the target, the locations and the witnesses, and changes nothing. Without any restorable point the error
// wraps ErrNothing, and the Plan holds nothing but the findings that say why.
func (r *Restore) Plan(ctx context.Context) (*Plan, error) {
	start := time.Now()
	var (
		live   *gateway.Export
		chosen *Snapshot
	)
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		if live, err = r.Target.Export(groupCtx); err != nil {
			return fmt.Errorf("%w: %w", ErrTarget, err)
		}
		return nil
	})
	group.Go(func() (err error) {
		chosen, err = r.Source.Read(groupCtx)
		return err
	})
	err := group.Wait()
	if errors.Is(err, ErrTarget) { // which ended all other reads: what they say is of no interest
		return &Plan{Schema: PlanSchema, Findings: []Finding{}}, err
	}
	if err != nil {
		return &Plan{Schema: PlanSchema, Findings: append([]Finding{}, chosen.problems()...)}, err
	}
	p := r.compare(live, chosen)
	p.Findings = slices.Concat(chosen.Findings, p.Findings)
	p.took = time.Since(start)
	p.EstimateS = estimate(len(p.Changes), r.Rate, p.took).Seconds()
	return p, nil
}
