package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

// status asks how the house stands.
func (h *house) status(t testing.TB) *backup.Status {
	t.Helper()
	return backup.CheckStatus(t.Context(), h.job.Copies, h.job.Keys, h.job.Policy,
		backup.StatusOptions{Spool: h.job.Spool, Gateway: h.job.Gateway, Patience: h.job.Patience})
}

// inTime runs the test in a bubble, where time passes only when all sleep, with a house that took a backup an hour ago and
// another one 20 minutes ago.
func inTime(t *testing.T, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, someEntities()...)
		h.job.Policy.MaxAge = 30 * time.Minute
		h.take(t)
		time.Sleep(40 * time.Minute)
		h.source.Put(backuptest.Entity(gateway.Route, "new", "{}"))
		h.take(t)
		time.Sleep(20 * time.Minute)
		test(t, h)
	})
}

// wantProblems wants the one kind of problem, at one location only.
func wantProblems(t *testing.T, s *backup.Status, at int, kind error, texts ...string) {
	t.Helper()
	for i, l := range s.Locations {
		if i != at && len(l.Problems) > 0 {
			t.Errorf("%s has problems: %+v", l.Name, l.Problems)
		}
	}
	problems := s.Locations[at].Problems
	if len(problems) != len(texts) || s.Sound() || s.Policy.Problems != len(texts) {
		t.Fatalf("problems of %s: %+v, want %q; sound %v", s.Locations[at].Name, problems, texts, s.Sound())
	}
	for i, p := range problems {
		if kind != nil && !errors.Is(p.Err, kind) || !strings.Contains(p.Object+" "+p.Text, texts[i]) {
			t.Errorf("problem %+v, want %v with %q", p, kind, texts[i])
		}
	}
}

func seconds(s *float64) float64 {
	if s == nil {
		return -1
	}
	return *s
}

func TestStatusSound(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		s := h.status(t)
		if !s.Sound() || seconds(s.Exposure) != 1200 || s.Newest.Revision != 2 || s.Newest.Entities[gateway.Route] != 12 ||
			!s.Policy.Satisfied || len(s.Point.Copies) != 3 || s.Waiting != (backup.Waiting{}) {
			t.Errorf("status: %+v, newest %+v", s, s.Newest)
		}
		for _, l := range s.Locations {
			if !l.Reachable || !l.Complete || l.Points != 2 || l.Newest != s.Newest.Point || seconds(l.Age) != 1200 || seconds(l.Exposure) != 1200 ||
				seconds(l.Behind) != 0 || !l.CreateOnly || len(l.Problems)+len(l.Notes) > 0 {
				t.Errorf("location: %+v", l)
			}
		}
		time.Sleep(time.Hour)
		s = h.status(t)
		if s.Sound() || s.Policy.Satisfied || s.Policy.Problems > 0 || s.Policy.Copies != 0 {
			t.Errorf("stale everywhere: %+v", s.Policy)
		}
	})
}

func TestStatusNothing(t *testing.T) {
	h := newHouse(t)
	s := h.status(t)
	if s.Sound() || s.Newest != nil || s.Exposure != nil || !s.Reachable() || s.Locations[0].Age != nil || s.Locations[0].Newest != "" {
		t.Errorf("status: %+v", s)
	}
}

func TestStatusLocationGone(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		h.memories[1].Break(backuptest.Dead)
		h.take(t)
		s := h.status(t)
		wantProblems(t, s, 1, nil, "connection refused")
		if l := s.Locations[1]; l.Reachable || l.Age != nil || l.Restorable != nil || l.Waiting != (backup.Waiting{Points: 1, Segments: 1}) || s.Policy.Copies != 2 {
			t.Errorf("location: %+v, policy %+v", l, s.Policy)
		}
		if s.Waiting.Points != 1 || seconds(s.Exposure) != 0 {
			t.Errorf("status: %+v", s)
		}
	})
}

// TestStatusHangs: a location that never answers costs its patience, once, and hides nothing of the others.
func TestStatusHangs(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	h.job.Patience = 300 * time.Millisecond
	h.memories[2].Break(backuptest.Hang)
	started := time.Now()
	s := h.status(t)
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("status took %s", took)
	}
	wantProblems(t, s, 2, nil, "did not answer within 300ms")
	if !s.Locations[0].Complete {
		t.Errorf("the others: %+v", s.Locations[0])
	}
}

// TestStatusBehind: a location that missed a backup is behind, which the spool will mend; without the spool nobody knows.
func TestStatusBehind(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		h.memories[2].Break(backuptest.Dead)
		h.take(t)
		h.memories[2].Break(nil)
		time.Sleep(20 * time.Minute)
		s := h.status(t)
		if l := s.Locations[2]; seconds(l.Behind) != 1200 || seconds(l.Exposure) != 2400 || l.Waiting.Points != 1 || len(l.Problems) > 0 || s.Policy.Copies != 2 {
			t.Errorf("location behind: %+v, policy %+v", l, s.Policy)
		}
		h.job.Spool = ""
		wantProblems(t, h.status(t), 2, backup.ErrLacking, "1 newer point can be had from local, nas")
	})
}

func TestStatusIncomplete(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		for name, content := range h.memories[0].Objects() {
			if strings.Contains(name, "/packs/") {
				h.memories[0].Set(name, bytes.Clone(content)[1:])
			}
		}
		s := h.status(t)
		wantProblems(t, s, 0, backup.ErrIncomplete, "/packs/")
		if l := s.Locations[0]; l.Complete || l.Restorable != nil || seconds(l.Age) != 1200 || s.Policy.Copies != 2 {
			t.Errorf("location: %+v, policy %+v", l, s.Policy)
		}
	})
}

// TestStatusOlderComplete: where the newest point is not complete, an older one that is counts, with the log after it.
func TestStatusOlderComplete(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		h.job.Full = true
		before := h.memories[0].Objects()
		h.source.Put(backuptest.Entity(gateway.Route, "more", "{}"))
		h.take(t)
		for name := range h.memories[0].Objects() {
			if _, old := before[name]; !old && strings.Contains(name, "/packs/") {
				h.memories[0].Set(name, nil)
			}
		}
		s := h.status(t)
		wantProblems(t, s, 0, backup.ErrIncomplete, "is missing")
		if l := s.Locations[0]; l.Complete || seconds(l.Exposure) != 0 || l.Restorable.Segments != 1 || l.Restorable.Revision != 3 {
			t.Errorf("location: %+v", l)
		}
		remove(h.memories[0], "/log/0000000000000003.tar")
		s = h.status(t)
		if l := s.Locations[0]; l.Complete || seconds(l.Exposure) != 1200 || seconds(l.Age) != 0 || seconds(l.Behind) != 1200 {
			t.Errorf("location without the log: %+v", l)
		}
	})
}

// TestStatusVanished: whoever has deleted points, or all, is found out by what the writer remembers.
func TestStatusVanished(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		remove(h.memories[1], "/points/")
		s := h.status(t)
		wantProblems(t, s, 1, nil, "it was stored here, and is gone", "1 newer point can be had from local, offsite")
		if l := s.Locations[1]; l.Newest != "" || l.Restorable != nil || !l.Reachable {
			t.Errorf("location: %+v", l)
		}
		remove(h.memories[1], "gwdr1/")
		wantProblems(t, h.status(t), 1, nil, "/log/", "/points/", "1 newer point")
		h.job.Spool = "" // on another machine
		wantProblems(t, h.status(t), 1, backup.ErrLacking, "2 newer points")
	})
}

// TestStatusForged: what was not signed by a trusted key does not exist, whatever its name.
func TestStatusForged(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		own := "gwdr1/" + h.find(t)[0].Lineage + "/points/"
		stranger := newHouse(t)
		stranger.take(t)
		for name, content := range stranger.memories[0].Objects() {
			h.memories[0].Set(name, content)
		}
		for i := range 3 {
			h.memories[0].Set(fmt.Sprintf("%s3000010%dT000000Z-0000000000000001-00000000.tar", own, i+1), []byte("?"))
		}
		s := h.status(t)
		l := s.Locations[0]
		if len(l.Problems) != 3 || !errors.Is(l.Problems[0].Err, backup.ErrIntegrity) || !l.Complete || l.Newest != s.Newest.Point {
			t.Errorf("location with forged points: %+v", l)
		}
		for i := range 100 {
			h.memories[0].Set(own+"x"+strings.Repeat("y", i), []byte("?"))
		}
		if l := h.status(t).Locations[0]; l.Newest != "" || len(l.Problems) > 40 {
			t.Errorf("location full of forged points: %d problems, newest %q", len(l.Problems), l.Newest)
		}
	})
}

// TestStatusLog: the log after the newest point counts as far as it is unbroken.
func TestStatusLog(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		for range 3 {
			h.source.Put(backuptest.Entity(gateway.Route, "more", "{}"))
			h.take(t)
			time.Sleep(time.Minute)
		}
		found := h.find(t)
		for _, f := range found[:3] { // as if these were only segments
			for _, m := range h.memories {
				m.Set(f.Object(), nil)
			}
		}
		h.job.Spool = ""
		for _, l := range h.status(t).Locations {
			if seconds(l.Age) != 1380 || seconds(l.Exposure) != 60 || l.Restorable.Segments != 3 || l.Restorable.Revision != 5 || len(l.Problems) > 0 {
				t.Errorf("location: %+v, %+v", l, l.Restorable)
			}
		}
		flip(t, h.memories[0], "/log/0000000000000004.tar", 1600)
		remove(h.memories[1], "/log/0000000000000004.tar")
		h.memories[2].Set("gwdr1/"+found[0].Lineage+"/log/0000000000000004.tar", []byte("short"))
		s := h.status(t)
		for _, l := range s.Locations {
			if seconds(l.Exposure) != 180 || l.Restorable.Segments != 1 || len(l.Problems) != 1 {
				t.Errorf("location: %+v, %+v", l, l.Restorable)
			}
		}
	})
}

// TestStatusOtherGateway: another gateway's backups at the same place say nothing of this one's; its own older lineages do.
func TestStatusOtherGateway(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		other := *h
		other.job.Gateway, other.job.Spool, other.job.Source = "other", t.TempDir(), backuptest.NewSource("other")
		other.take(t)
		if s := h.status(t); seconds(s.Exposure) != 1200 || s.Newest.Store != "store-1" || !s.Sound() {
			t.Errorf("status of the first: %+v, %+v", s, s.Newest)
		}
		if s := other.status(t); seconds(s.Exposure) != 0 || s.Newest.Store != "other" || !s.Sound() {
			t.Errorf("status of the other: %+v, %+v", s, s.Newest)
		}
		h.source.Wipe("store-2")
		h.memories[1].Break(backuptest.Dead)
		h.take(t)
		h.memories[1].Break(nil)
		s := h.status(t)
		if l := s.Locations[1]; seconds(l.Age) != 1200 || l.Restorable.Store != "store-1" || s.Newest.Store != "store-2" {
			t.Errorf("location with the lineage before: %+v", l)
		}
	})
}

// TestStatusScrubs: what was not read back whole in time is not verified, and what failed to be is damaged.
func TestStatusScrubs(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		scrubs := map[string]backup.Scrub{}
		h.job.Policy.MaxScrub = time.Hour
		h.job.Policy.MaxAge = 0
		ask := func() *backup.Status {
			return backup.CheckStatus(t.Context(), h.job.Copies, h.job.Keys, h.job.Policy, backup.StatusOptions{
				Spool: h.job.Spool, Gateway: h.job.Gateway,
				Scrubs: func(context.Context, []backup.Copy, sshsig.Trusted) map[string]backup.Scrub { return scrubs },
			})
		}
		if s := ask(); s.Sound() || len(s.Policy.Unverified) != 3 || !strings.Contains(strings.Join(s.Policy.Findings, "\n"), "nas was read back whole never") {
			t.Errorf("never verified: %+v", s.Policy)
		}
		h.job.Policy.MaxScrub = 2 * time.Hour
		if s := ask(); !s.Sound() {
			t.Errorf("not due yet: %+v", s.Policy)
		}
		now := time.Now()
		for _, name := range []string{"local", "nas", "offsite"} {
			scrubs[name] = backup.Scrub{Ended: now, Passed: now}
		}
		time.Sleep(100 * time.Minute)
		if s := ask(); !s.Sound() || s.Locations[0].Scrubbed == nil || !s.Locations[0].Scrubbed.Equal(now) {
			t.Errorf("verified: %+v", s.Policy)
		}
		scrubs["nas"] = backup.Scrub{Ended: time.Now(), Passed: now}
		wantProblems(t, ask(), 1, backup.ErrIntegrity, "so said the verification of 2000-01-01T02:40:00Z")
		time.Sleep(time.Hour)
		if s := ask(); len(s.Policy.Unverified) != 3 || !strings.Contains(strings.Join(s.Policy.Findings, "\n"), "local was read back whole last on 2000-01-01") {
			t.Errorf("verified long ago: %+v", s.Policy)
		}
	})
}

func TestStatusClock(t *testing.T) {
	inTime(t, func(t *testing.T, h *house) {
		later := *h
		later.job.Source = ahead{h.source}
		later.job.Full = true
		later.take(t)
		s := h.status(t)
		for _, l := range s.Locations {
			if len(l.Problems) != 1 || !errors.Is(l.Problems[0].Err, backup.ErrClock) || seconds(l.Age) != 0 {
				t.Errorf("location: %+v", l)
			}
		}
	})
}

func TestStatusSpool(t *testing.T) {
	h := newHouse(t)
	h.take(t)
	h.job.Spool = t.TempDir() // of a machine that never made a backup
	if s := h.status(t); !s.Sound() || len(s.Notes) > 0 || cmp.Diff(backup.Waiting{}, s.Waiting) != "" {
		t.Errorf("status: %+v", s)
	}
}

// ahead is a gateway whose clock is an hour ahead.
type ahead struct{ *backuptest.Source }

func (a ahead) Export(ctx context.Context) (*gateway.Export, error) {
	e, err := a.Source.Export(ctx)
	e.Time = e.Time.Add(time.Hour)
	return e, err
}
