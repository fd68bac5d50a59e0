package drills

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/probes"
)

// mute is an Admin one of whose regions is listed, and cannot be read.
type mute struct {
	probes.Admin
	region string
}

func (m mute) Observe(ctx context.Context, region string, changes []probes.Change) ([]probes.Observation, error) {
	if region == m.region {
		return nil, errors.New("no answer")
	}
	return m.Admin.Observe(ctx, region, changes)
}

// TestARegionThatCannotBeReadIsSaid: the others are read, their changes counted, and nothing is passed.
func TestARegionThatCannotBeReadIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Admin = mute{l.Admin, "us-east"}
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Inconclusive || !r.Clean {
			t.Fatalf("%s: %s, %v", r.Verdict, r.Reason, err)
		}
		if !slices.Equal(r.RPA.UnreadRegions, []string{"us-east after the revert"}) || r.RPA.Checked == 0 {
			t.Errorf("unread %q, checked %d", r.RPA.UnreadRegions, r.RPA.Checked)
		}
		if !slices.Contains(r.Findings, "region us-east after the revert could not be read back, and is not counted: no answer") {
			t.Errorf("findings %q", r.Findings)
		}
	})
}

// hung is an Admin one of whose regions never answers.
type hung struct{ mute }

func (h hung) Observe(ctx context.Context, region string, changes []probes.Change) ([]probes.Observation, error) {
	if region == h.region {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return h.Admin.Observe(ctx, region, changes)
}

// TestARegionThatHangsTakesNoTimeFromOthers: those that are read after it are read all the same.
func TestARegionThatHangsTakesNoTimeFromOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Admin = hung{mute{l.Admin, "us-east"}}
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Inconclusive || !r.Clean {
			t.Fatalf("%s: %s, %v", r.Verdict, r.Reason, err)
		}
		if !slices.Equal(r.RPA.UnreadRegions, []string{"us-east after the revert"}) || r.RPA.Checked == 0 {
			t.Errorf("unread %q, checked %d", r.RPA.UnreadRegions, r.RPA.Checked)
		}
	})
}

func TestConvergenceIsBracketed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		r, err := l.run(t, t.Context())
		if err != nil || r.Convergence == nil || r.Convergence.LowS != 0 || r.Convergence.HighS > 2.5 {
			t.Errorf("%+v, %v: the world agrees with the revert", r.Convergence, err)
		}
	})
	c := newConvergence(time.Second)
	c.saw(false, 1100*ms, 1110*ms)
	c.saw(false, 1200*ms, 1210*ms)
	c.saw(true, 1300*ms, 1310*ms)
	c.saw(false, 1400*ms, 1410*ms)
	if want := (AgreedFact{Healed: time.Second, Low: 1200 * ms, High: 1310 * ms}); c.agreed == nil || *c.agreed != want {
		t.Errorf("%+v, want %+v", c.agreed, want)
	}
}
