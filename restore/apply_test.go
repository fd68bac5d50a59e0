package restore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

var errDisk = errors.New("disk full")

// planFor plans the restore of the sample configuration to g, as if a location held it.
func planFor(t *testing.T, r *Restore, g *gatewaytest.Gateway) *Plan {
	t.Helper()
	r.Target = g
	return r.compare(exportOf(t, g), &Snapshot{RevokedBy: time.Now(), State: sampleWith(), Provenance: backup.Provenance{{Object: "gwdr1/pack", Copy: "nas", Count: 2}}})
}

func TestApply(t *testing.T) {
	g := gatewaytest.New()
	g.Wipe()
	r := &Restore{}
	p := planFor(t, r, g)
	res, err := r.Apply(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Verified || res.Actual != sampleWith().Digest() || res.Created != 11 || res.Unchanged != 0 || g.Blank() {
		t.Errorf("result %+v", res)
	}
	if after := exportOf(t, g); res.Store != after.Store || res.Store == p.Store {
		t.Errorf("store %s, was %s", res.Store, p.Store)
	}
}

// TestApplyNothing: a restore that changes nothing still ends the gateway's wait for one.
func TestApplyNothing(t *testing.T) {
	g := gatewaytest.New(gatewaytest.Sample()...)
	r := &Restore{}
	res, err := r.Apply(t.Context(), planFor(t, r, g))
	if err != nil || !res.Verified || res.Unchanged != 11 || res.Created+res.Updated+res.Deleted != 0 || g.Applies() != 1 {
		t.Errorf("%+v, %v, %d applies", res, err, g.Applies())
	}
}

func TestApplyMoved(t *testing.T) {
	g := gatewaytest.New()
	r := &Restore{}
	p := planFor(t, r, g)
	g.Put(extraSetting)
	if _, err := r.Apply(t.Context(), p); !errors.Is(err, ErrMoved) || g.Applies() != 0 {
		t.Errorf("%v, %d applies", err, g.Applies())
	}
	g.Remove(extraSetting.Ref) // another revision, but the same state
	if _, err := r.Apply(t.Context(), p); err != nil {
		t.Error(err)
	}
}

// fenced is a gateway that knows the revision that changes were planned for, and that somebody else is quicker to write to.
type fenced struct {
	*gatewaytest.Gateway
	intruder *gateway.Entity
}

func (f fenced) ApplyBulk(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (int64, error) {
	if f.intruder != nil {
		f.Put(*f.intruder)
	}
	if e, err := f.Export(ctx); err != nil || e.Revision != b.Base || !b.Restore {
		return 0, errors.Join(err, gateway.ErrConflict)
	}
	return 0, f.Apply(ctx, changes)
}

func TestApplyFenced(t *testing.T) {
	g := gatewaytest.New()
	r := &Restore{}
	p := planFor(t, r, g)
	r.Target = fenced{g, &extraSetting}
	res, err := r.Apply(t.Context(), p)
	if !errors.Is(err, ErrMoved) || len(res.Incomplete.Made) != 0 || g.Applies() != 0 {
		t.Errorf("%v, %+v", err, res.Incomplete)
	}
	p = planFor(t, r, g)
	r.Target = fenced{g, nil}
	if _, err := r.Apply(t.Context(), p); err != nil || g.Applies() != 1 {
		t.Error(err)
	}
}

// TestApplyNoFasterThanRate: the target gets pieces, and what was made is said if the restore is interrupted between two.
func TestApplyNoFasterThanRate(t *testing.T) {
	for rate, want := range map[float64]struct {
		applies int
		took    time.Duration
	}{2: {11, 5 * time.Second}, 20: {3, 500 * time.Millisecond}, 1000: {1, 0}, 0: {1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			g, begun := gatewaytest.New(), time.Now()
			r := &Restore{Rate: rate}
			p := planFor(t, r, g)
			r.Target = counting{g}
			res, err := r.Apply(t.Context(), p)
			if err != nil || !res.Verified || res.Created != 11 || g.Applies() != want.applies || time.Since(begun) != want.took {
				t.Errorf("%g a second: %v, %d applies in %s", rate, err, g.Applies(), time.Since(begun))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		g := gatewaytest.New()
		r := &Restore{Rate: 1}
		p := planFor(t, r, g)
		ctx, cancel := context.WithTimeout(t.Context(), 3500*time.Millisecond)
		defer cancel()
		res, err := r.Apply(ctx, p)
		if !errors.Is(err, context.DeadlineExceeded) || res.Incomplete == nil || len(res.Incomplete.Made) != 4 {
			t.Errorf("interrupted: %v, %+v", err, res)
		}
	})
}

// counting is a gateway that takes a piece only at the revision that the one before it made.
type counting struct{ *gatewaytest.Gateway }

func (c counting) ApplyBulk(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (int64, error) {
	if e, err := c.Export(ctx); err != nil || e.Revision != b.Base {
		return 0, errors.Join(err, gateway.ErrConflict)
	}
	if err := c.Apply(ctx, changes); err != nil {
		return 0, err
	}
	e, err := c.Export(ctx)
	return e.Revision, err
}

// TestApplyFails: whether the gateway tells how far it came or not, the result says what was changed.
func TestApplyFails(t *testing.T) {
	for name, fail := range map[string]func(g *gatewaytest.Gateway){
		"told":   func(g *gatewaytest.Gateway) { g.FailApply(4, errDisk) },
		"untold": func(g *gatewaytest.Gateway) { g.CutApply(4, errDisk) },
	} {
		g := gatewaytest.New(extraRoute)
		r := &Restore{}
		p := planFor(t, r, g)
		fail(g)
		res, err := r.Apply(t.Context(), p)
		if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "4 of 12 changes were made, the last was create of spec/large") {
			t.Errorf("%s: %v", name, err)
		}
		want := &Incomplete{Made: p.Steps[:4], Of: 12, ReadBack: true}
		if diff := cmp.Diff(want, res.Incomplete); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if res.Created != 4 || res.Deleted != 0 || res.Unchanged != 1 || res.Verified {
			t.Errorf("%s: %+v", name, res)
		}
		g.FailApply(0, nil)
		res, err = r.Apply(t.Context(), planFor(t, r, g)) // doing it again completes it
		if err != nil || res.Created != 7 || res.Deleted != 1 || res.Actual != sampleWith().Digest() {
			t.Errorf("%s: again: %v, %+v", name, err, res)
		}
	}
}

// TestApplyFailsAtOnce leaves the gateway as it was, and says so.
func TestApplyFailsAtOnce(t *testing.T) {
	g := gatewaytest.New(extraRoute)
	before := exportOf(t, g).State.Digest()
	r := &Restore{}
	p := planFor(t, r, g)
	g.FailApply(0, errDisk)
	res, err := r.Apply(t.Context(), p)
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "nothing was changed, as read back") || len(res.Incomplete.Made) != 0 {
		t.Errorf("%v, %+v", err, res.Incomplete)
	}
	if exportOf(t, g).State.Digest() != before {
		t.Error("the gateway is not as it was")
	}
}

// dying is a gateway that can no longer be read once an Apply failed.
type dying struct{ *gatewaytest.Gateway }

func (d dying) Apply(ctx context.Context, changes []gateway.Change) error {
	err := d.Gateway.Apply(ctx, changes)
	d.FailExport(errDisk)
	return err
}

func TestApplyFailsUnread(t *testing.T) {
	g := gatewaytest.New()
	r := &Restore{}
	p := planFor(t, r, g)
	r.Target = dying{g}
	g.FailApply(3, errDisk)
	res, err := r.Apply(t.Context(), p)
	if !errors.Is(err, errDisk) || !strings.Contains(err.Error(), "by the gateway's last answer") {
		t.Error(err)
	}
	if diff := cmp.Diff(&Incomplete{Made: p.Steps[:3], Of: 11}, res.Incomplete); diff != "" {
		t.Error(diff)
	}
}

// interrupted is a gateway whose client is told to stop in the middle of an Apply.
type interrupted struct {
	*gatewaytest.Gateway
	stop func()
}

func (i interrupted) Apply(ctx context.Context, changes []gateway.Change) error {
	i.FailApply(2, context.Canceled)
	defer i.stop()
	return i.Gateway.Apply(ctx, changes)
}

// TestApplyInterrupted: Ctrl-C in the middle is a failure like any other, and is looked into all the same.
func TestApplyInterrupted(t *testing.T) {
	g := gatewaytest.New()
	r := &Restore{}
	p := planFor(t, r, g)
	ctx, cancel := context.WithCancel(t.Context())
	r.Target = interrupted{g, cancel}
	res, err := r.Apply(ctx, p)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if diff := cmp.Diff(&Incomplete{Made: p.Steps[:2], Of: 11, ReadBack: true}, res.Incomplete); diff != "" {
		t.Error(diff)
	}
}

// racing is a gateway that somebody else writes to at the same time.
type racing struct{ *gatewaytest.Gateway }

func (w racing) Apply(ctx context.Context, changes []gateway.Change) error {
	err := w.Gateway.Apply(ctx, changes)
	w.Put(extraSetting)
	return err
}

func TestApplyDigest(t *testing.T) {
	g := gatewaytest.New()
	r := &Restore{}
	p := planFor(t, r, g)
	r.Target = racing{g}
	res, err := r.Apply(t.Context(), p)
	if !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), "setting/extra") || res.Verified || res.Actual == res.Expected {
		t.Errorf("%v, %+v", err, res)
	}
}

func TestApplyProbes(t *testing.T) {
	g := gatewaytest.New()
	check := Check{Instance: "http://gateway", Request: "GET /", Want: "404", Got: "200"}
	r := &Restore{Probe: func(context.Context, *gateway.State) []Check { return []Check{check} }}
	res, err := r.Apply(t.Context(), planFor(t, r, g))
	if !errors.Is(err, ErrDataPlane) || res.Verified || res.Actual != res.Expected {
		t.Errorf("%v, %+v", err, res)
	}
	check.OK = true
	if res, err = r.Apply(t.Context(), planFor(t, r, g)); err != nil || !res.Verified || len(res.DataPlane) != 1 {
		t.Errorf("%v, %+v", err, res)
	}
}

// silent is a witness that does not answer before its time is over.
type silent struct{}

func (silent) Revocations(ctx context.Context) ([]gateway.Entity, time.Time, error) {
	<-ctx.Done()
	return nil, time.Time{}, context.Cause(ctx)
}

// TestWitnesses asks one that is silent for as long as anybody waits, which takes no time here.
func TestWitnesses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		knows := gatewaytest.New(newlyRevoked)
		source := Source{Witnesses: []RevocationSource{silent{}, knows, knows}}
		began := time.Now()
		told := source.askWitnesses(t.Context())
		if diff := cmp.Diff([]gateway.Entity{newlyRevoked, newlyRevoked}, told.known); diff != "" {
			t.Error(diff)
		}
		if len(told.findings) != 1 || told.findings[0].Subject != "witness 1" {
			t.Errorf("findings %v", told.findings)
		}
		if waited := time.Since(began); waited != source.patience() {
			t.Errorf("waited %s for the silent one, not %s", waited, source.patience())
		}
	})
}
