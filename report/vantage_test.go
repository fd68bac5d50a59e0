package report

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/drills"
	"gwdr/internal/sshsig"
	"gwdr/probes"
)

// TestVerifyVantagePoints computes again what was counted by another clock, from the readings of it.
func TestVerifyVantagePoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ahead = time.Hour
		s := probes.Series{Name: "eu: fresh", Plane: probes.DataPlane, Interval: ms(20), Timeout: time.Second}
		here := s
		here.Name, here.Control = "control", true
		there := here
		there.Name = "eu: control"
		marks := make(chan time.Time, 1)
		w := &drills.Watch{Evidence: t.TempDir(), Tool: "test", Marks: marks, Plan: drills.WatchPlan{For: 6 * time.Second, Baseline: 2 * time.Second,
			Stable: time.Second, RTO: 5 * time.Second, Targets: []drills.WatchTarget{{URL: "http://gateway/", Expect: 200}},
			Vantages: []drills.WatchVantage{{Name: "eu", Agent: "https://eu:7070", Tool: "test"}},
			Series:   []drills.WatchSeries{{Series: here}, {Series: s, Vantage: "eu"}, {Series: there, Vantage: "eu"}}},
			Probes: []drills.Probe{{Series: here, Run: attempts(here)}}}
		w.Vantages = []drills.Vantage{{Name: "eu", Run: func(ctx context.Context, t0 time.Time, sink drills.VantageSink) error {
			sink.Read(probes.Exchange{Sent: -ms(30), Read: ahead - ms(20), Received: -ms(4)}, 0)
			time.AfterFunc(ms(2500), func() { marks <- time.Now() })
			tell := func(a probes.Sample) {
				a.Due, a.Sent, a.Done = a.Due+ahead, a.Sent+ahead, a.Done+ahead
				sink.Told([]probes.Sample{a}, a.Done)
			}
			done := make(chan error, 1)
			go func() { done <- attempts(there)(ctx, t0, tell) }()
			return errors.Join(attempts(s)(ctx, t0, tell), <-done)
		}}}
		signer := sshsig.NewSigner("")
		w.Report = func(dir string, r *drills.WatchResult) error { return WriteWatch(dir, r, signer) }
		r, err := w.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != drills.Pass || r.RTA == nil || r.RTA.Series != "eu: fresh" || r.RTA.LowS > 1.5 || r.RTA.HighS < 1.5 || len(r.Vantages) != 1 {
			t.Errorf("%s: %s, RTA %+v", r.Verdict, r.Reason, r.RTA)
		}
		if v, err := Verify(r.Evidence, trusting(signer)); err != nil || !v.Verified {
			t.Errorf("%v: %+v", err, v)
		}
		spoilt := copied(t, r.Evidence)
		if err := replaceIn(spoilt, drills.JournalFile, `"sent_ns":-30000000`, `"sent_ns":-20000000`); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(spoilt, trusting(signer)); !errors.Is(err, ErrIntegrity) {
			t.Errorf("a reading was changed: %v", err)
		}
		var out bytes.Buffer
		if err := WatchText(&out, r); err != nil {
			t.Fatal(err)
		}
		if want := "eu: https://eu:7070, its clock known to ±14ms"; !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
	})
}

func TestVantageLine(t *testing.T) {
	for want, v := range map[string]drills.WatchedVantage{
		"eu: u, its clock known to ±1.5ms":                                    {Readings: 3, HalfWidthS: 0.0015},
		"eu: u, its clock was never read, 1 cut":                              {Cuts: 1},
		"eu: u, its clock known to ±20ms, 2 cuts, nothing heard of 1 attempt": {Readings: 3, HalfWidthS: 0.02, Cuts: 2, Unknown: 1},
	} {
		v.Name, v.Agent = "eu", "u"
		if got := vantageLine(v); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
