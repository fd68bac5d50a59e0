package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"time"

	"gwdr/backup"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// rehearsalSchema is the schema of a rehearsal's JSON.
const rehearsalSchema = "gwdr/rehearsal/v1"

// rehearsal is what came of one: the document of gwdr restore --rehearse --json. It names entities, and holds no bodies.
type rehearsal struct {
	Schema     string               `json:"schema"`
	Result     string               `json:"result"` // pass, fail
	Started    time.Time            `json:"started"`
	Lineage    string               `json:"lineage"` // of the point; empty, as all that follows, if nothing could be restored
	Point      string               `json:"point"`
	Revision   int64                `json:"recovered_revision"`
	Time       time.Time            `json:"recovery_point_time,omitzero"`
	Provenance map[string]int       `json:"provenance"` // entities and changes, by location
	Only       []string             `json:"only"`       // kinds; empty: all
	Match      []string             `json:"match"`      // patterns; empty: all
	Entities   int                  `json:"entities"`
	Expected   string               `json:"digest_expected"`
	Actual     string               `json:"digest_actual"` // of the gateway, read back; empty if it did not come so far
	Phases     []restore.Phase      `json:"phases"`        // in their order, as far as it came
	Total      float64              `json:"total_s"`       // from the beginning to the last check
	Checks     []restore.Check      `json:"checks"`        // of the data plane
	Findings   []restore.Finding    `json:"findings"`
	Error      string               `json:"error,omitempty"`
	Gateway    string               `json:"gateway"`     // what was restored into
	Attested   *backup.AttestResult `json:"attestation"` // null: there is none

	plan *restore.Plan
	err  error
}

// checkRehearse refuses what does not go with a rehearsal, or without one.
func (o restoreOptions) checkRehearse() error {
	if !o.rehearse {
		if o.noAttest {
			return errors.New("--no-attest is for --rehearse")
		}
		return nil
	}
	for flag, given := range map[string]bool{"--to": o.to != "", "--probe": len(o.probes) > 0, "--probe-issue": o.issue, "--yes": o.yes, "--plan": o.plan, "--rate": o.rate != 0} {
		if given {
			return fmt.Errorf("%s does not go with --rehearse, which restores into a gateway of its own", flag)
		}
	}
	return nil
}

// runRehearse restores into a gateway that is started for it and thrown away, and records how it went.
func runRehearse(ctx context.Context, a *app, opts restoreOptions) error {
	keys, err := a.rehearsalKeys(ctx, opts)
	if err != nil {
		return err
	}
	r := &rehearsal{Schema: rehearsalSchema, Started: time.Now().UTC(), Provenance: map[string]int{}, Only: append([]string{}, opts.only...),
		Match: append([]string{}, opts.match...), Phases: []restore.Phase{}, Checks: []restore.Check{}, Findings: []restore.Finding{}, Gateway: "gwdr " + version()}
	var stage *process.Throwaway
	run, err := newRestorationAt(ctx, a, opts, func(ctx context.Context) (*opened, error) {
		started := time.Now()
		a.progress("starting a gateway to restore into")
		stage, err = process.StartThrowaway(ctx, process.ThrowawayOptions{Executable: a.Executable, Env: a.labEnv(), Log: a.Log})
		if err != nil {
			return nil, err
		}
		r.Phases = append(r.Phases, restore.Phase{Name: "start", Seconds: time.Since(started).Seconds()})
		client := &native.Client{URL: stage.Admin, Token: stage.Token, HTTP: native.NewHTTP()}
		return &opened{Target: client, Admin: client, Instances: restore.Instances(stage.Listen)}, nil
	})
	if err != nil {
		return interrupted(ctx, err)
	}
	run.Proof.Within = opts.within
	run.Proof.issue = issueAt(run.Target.(*native.Client), time.Hour, "rehearsal")
	r.restore(ctx, run.Restore, stage)
	if err := stage.Close(); err != nil {
		r.note("gateway", err.Error())
		r.err = errors.Join(r.err, err)
	}
	if ctx.Err() != nil {
		return interrupted(ctx, ctx.Err())
	}
	r.judge()
	if !opts.noAttest {
		r.attest(ctx, run, keys)
	}
	if ctx.Err() != nil {
		return interrupted(ctx, ctx.Err())
	}
	return a.concludeRehearsal(r)
}

// interrupted says that nothing is left, if that is what ended it.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("rehearsal interrupted: the gateway that it started is gone: %w", ctx.Err())
}

// rehearsalKeys returns keys that can attest, unless nobody asked for that.
func (a *app) rehearsalKeys(ctx context.Context, opts restoreOptions) (backup.Keys, error) {
	if opts.noAttest {
		return backup.Keys{}, nil
	}
	keys, err := a.openKeys(ctx)
	if err == nil {
		err = backup.CanAttest(keys)
	}
	if errors.Is(err, backup.ErrAttest) {
		return keys, withHint(usageError(err), "name the key with GWDR_KEYS_SIGNING, and in the file of trusted signers add %s to its namespaces=\"...\"; "+
			"--no-attest rehearses without leaving a record", backup.AttestNamespace)
	}
	return keys, err
}

// restore restores into the stage, and proves it there.
func (r *rehearsal) restore(ctx context.Context, run *restore.Restore, stage *process.Throwaway) {
	defer func() { r.Total = time.Since(r.Started).Seconds() }()
	ctx, cancel := stage.Context(ctx)
	defer cancel()
	target := run.Target.(*native.Client)
	prove := run.Probe
	run.Probe = func(ctx context.Context, s *gateway.State) []restore.Check {
		if len(run.Only)+len(run.Match) > 0 {
			r.standIn(ctx, target, s)
		}
		return prove(ctx, s)
	}
	plan, err := run.Plan(ctx)
	r.Findings = append(r.Findings, plan.Findings...)
	if err == nil {
		r.plan = plan
		r.Lineage, r.Point, r.Revision, r.Time, r.Provenance = plan.Lineage, plan.Point, plan.Revision, plan.Time, plan.Provenance
		r.Entities, r.Expected = plan.Wanted.Len(), plan.Expected
		var result *restore.Result
		result, err = run.Apply(ctx, plan)
		r.Actual, r.Checks, r.Phases = result.Actual, append(r.Checks, result.DataPlane...), append(r.Phases, result.Phases...)
	}
	var patience time.Duration
	if broken := (*net.OpError)(nil); errors.As(err, &broken) { // a process that ends is reaped a moment after its connections are gone
		patience = time.Second
	}
	if ended := stage.Ended(patience); ended != nil { // whatever failed, this is why
		err = errors.Join(fmt.Errorf("the gateway that was started did not live to the end: %w", ended), err)
	}
	r.err = err
}

// standIn puts upstreams that routes need and that were not to be restored: it is the echo that answers for them in any case.
func (r *rehearsal) standIn(ctx context.Context, target *native.Client, s *gateway.State) {
	missing := map[string]bool{}
	for e := range s.Kind(gateway.Route) {
		var body gateway.RouteBody
		if json.Unmarshal(e.Body, &body) != nil || body.Upstream == "" {
			continue
		}
		if _, there := s.Get(gateway.Ref{Kind: gateway.Upstream, ID: body.Upstream}); !there {
			missing[body.Upstream] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(missing)) {
		body := gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: "http://stand-in.invalid"}}})
		if _, err := target.Put(ctx, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: id}, Body: body}, gateway.Condition{}); err != nil {
			r.note("upstream/"+id, "was not restored, and nothing could stand in for it: "+err.Error())
		}
	}
}

func (r *rehearsal) note(subject, text string) {
	r.Findings = append(r.Findings, restore.Finding{Subject: subject, Text: text})
}

func (r *rehearsal) judge() {
	r.Result = backup.ResultPass
	if r.err != nil {
		r.Result, r.Error = backup.ResultFail, r.err.Error()
	}
	if r.plan != nil && r.err == nil && !slices.ContainsFunc(r.Checks, func(c restore.Check) bool { return c.Key == restore.Issued }) {
		r.note("checks", "no route needs a key and takes GET: whether a new key works was not tried")
	}
}

// passed counts the checks that passed.
func (r *rehearsal) passed() (n int) {
	for _, c := range r.Checks {
		if c.OK {
			n++
		}
	}
	return n
}

// attest leaves the record at every location that answers, also at those that were not read from.
func (r *rehearsal) attest(ctx context.Context, run *restoration, keys backup.Keys) {
	if r.plan == nil {
		r.note("attestation", "there is none: it would be of a point, and none was restored")
		return
	}
	record := backup.Rehearsal{Revision: r.Revision, Time: r.Time, Only: r.Only, Match: r.Match, Digest: r.Expected, Actual: r.Actual, Entities: r.Entities,
		Total: r.Total, Checks: len(r.Checks), Passed: r.passed(), ReadFrom: r.Provenance, Gateway: r.Gateway}
	for _, p := range r.Phases {
		record.Phases = append(record.Phases, backup.RehearsalPhase(p))
	}
	copies := slices.Concat(run.Copies, run.Elsewhere)
	attested, problems, err := backup.AttestRehearsal(ctx, copies, keys, r.plan.Source.Point, record, backup.RehearsalOptions{Started: r.Started,
		Passed: r.err == nil, Objects: len(r.plan.Objects), Tool: "gwdr " + version()})
	for _, p := range problems {
		r.note(p.Copy, p.Text)
	}
	if err == nil && len(attested.Locations) == 0 {
		err = exitWith(exitMissed, errors.New("the record of the rehearsal could be put nowhere"))
	}
	r.Attested = attested
	if err != nil {
		r.err = errors.Join(r.err, err)
		r.Error = r.err.Error()
	}
}

// concludeRehearsal shows it, and decides the exit code.
func (a *app) concludeRehearsal(r *rehearsal) error {
	if !a.Quiet || r.err != nil {
		a.noteFindings(r.Findings)
	}
	if err := a.showRehearsal(r); err != nil {
		return err
	}
	switch {
	case r.err == nil:
		return nil
	case r.plan == nil:
		return notRead(r.err, "run it again; it was started for this, on this machine")
	case errors.Is(r.err, restore.ErrDataPlane):
		return withHint(exitWith(exitMissed, r.err), "the configuration is restored as planned, but a gateway does not serve it; --json shows every check")
	case errors.Is(r.err, restore.ErrDigest):
		return exitWith(exitIntegrity, r.err)
	}
	return r.err
}
