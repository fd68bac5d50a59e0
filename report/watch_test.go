package report

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/drills"
	"gwdr/internal/sshsig"
	"gwdr/probes"
)

// watched returns the evidence of a watch of 7 s, signed by signer: the target is down for a second, 3 s after the start.
func watched(t *testing.T, signer *sshsig.Signer) (result *drills.WatchResult) {
	t.Helper()
	target := probes.Series{Name: "gateway\x1b fresh", Plane: probes.DataPlane, Interval: ms(20), Timeout: time.Second}
	control := target
	control.Name, control.Control = "control", true
	w := &drills.Watch{Evidence: t.TempDir(), Tool: "test", Plan: drills.WatchPlan{For: 7 * time.Second, Baseline: 2 * time.Second, Stable: time.Second,
		RTO: 5 * time.Second, SLO: 0.5, Targets: []drills.WatchTarget{{Kind: "https", URL: "https://gateway/", Expect: 200}}}}
	for _, s := range []probes.Series{target, control} {
		w.Plan.Series = append(w.Plan.Series, drills.WatchSeries{Series: s})
		w.Probes = append(w.Probes, drills.Probe{Series: s, Run: attempts(s)})
	}
	w.Report = func(dir string, r *drills.WatchResult) error { return WriteWatch(dir, r, signer) }
	result, err := w.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// attempts makes those of the series, which fail from 3 s to 4 s unless it is a control target's.
func attempts(s probes.Series) func(context.Context, time.Time, func(probes.Sample)) error {
	return func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error {
		for seq := int64(0); ctx.Err() == nil; seq++ {
			now := time.Since(t0)
			a := probes.Sample{Series: s.Name, Seq: seq, Due: now, Sent: now, Done: now + ms(1), Class: probes.OK, Handshake: 400 * time.Microsecond,
				TLS: &probes.TLS{Version: "TLS 1.3", NotAfter: t0.Add(9*24*time.Hour + time.Minute)}}
			if !s.Control && now >= 3*time.Second && now < 4*time.Second {
				a.Class, a.Error = probes.FailRefused, "connection refused"
			}
			out(a)
			time.Sleep(s.Interval)
		}
		return nil
	}
}

func TestVerifyWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signer := sshsig.NewSigner("")
		dir := watched(t, signer).Evidence
		v, err := Verify(dir, trusting(signer))
		if err != nil || !v.Verified || v.Recomputed != drills.Pass || v.SignedBy != "ops" || len(v.Checks) != 4 {
			t.Fatalf("%v: %+v", err, v)
		}
		for name, spoil := range map[string]func(dir string) error{
			"report": func(dir string) error { return replaceIn(dir, drills.ReportFile, `"flaps": 0`, `"flaps": 1`) },
			"promise": func(dir string) error {
				return replaceIn(dir, drills.JournalFile, `"rto_ns":5000000000`, `"rto_ns":9000000000`)
			},
			"samples": func(dir string) error { return os.Truncate(filepath.Join(dir, drills.SamplesFile), 100) },
			"manifest": func(dir string) error {
				return replaceIn(dir, drills.ManifestFile, `"run": "probe-`, `"run": "other-`)
			},
			"signature": func(dir string) error { return os.Remove(filepath.Join(dir, AttestationFile)) },
		} {
			spoilt := copied(t, dir)
			if err := spoil(spoilt); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(spoilt, trusting(signer)); !errors.Is(err, ErrIntegrity) {
				t.Errorf("%s changed: %v", name, err)
			}
		}
	})
}

// replaceIn changes the text in a file of the evidence, which must be there.
func replaceIn(dir, name, old, new string) error {
	path := filepath.Join(dir, name)
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(content, []byte(old)) {
		return errors.New(name + " does not hold " + old)
	}
	return os.WriteFile(path, bytes.Replace(content, []byte(old), []byte(new), 1), 0o600)
}

// TestVerifyKilledWatch has no report, but its record gives what was measured.
func TestVerifyKilledWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := watched(t, nil).Evidence
		for _, name := range []string{drills.ReportFile, drills.ManifestFile} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		v, err := Verify(dir, sshsig.Trusted{})
		if !errors.Is(err, ErrIntegrity) || !v.Incomplete || v.Recomputed != drills.Pass {
			t.Errorf("%v: %+v", err, v)
		}
	})
}

func TestWatchText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		if err := WatchText(&out, watched(t, nil)); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"PASS  what was promised was kept", "<= 5s", "960ms – 1.02s", "fail:refused", "evidence",
			"0.4ms / 0.4ms", "of TLS 1.3, certificate until", "warning    certificate of https://gateway/ expires in 9 days"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("does not say %q:\n%s", want, out.String())
			}
		}
		if strings.Contains(out.String(), "\x1b") || strings.Contains(out.String(), "First byte") {
			t.Error("a control character came through, or a column without anything in it")
		}
	})
}
