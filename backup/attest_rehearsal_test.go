package backup_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/internal/sshsig"
)

// TestAttestRehearsal: a rehearsal is attested, found again, and taken for nothing else.
func TestAttestRehearsal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, someEntities()...)
		h.take(t)
		last := func() time.Time {
			return backup.LastRehearsal(t.Context(), h.job.Copies, h.job.Keys.Trusted, time.Minute)
		}
		if !last().IsZero() {
			t.Error("nobody has rehearsed")
		}
		attest := func(passed bool) *backup.AttestResult {
			time.Sleep(time.Hour)
			attested, problems, err := backup.AttestRehearsal(t.Context(), h.job.Copies, h.job.Keys, h.find(t)[0],
				backup.Rehearsal{Digest: "d", Phases: []backup.RehearsalPhase{{Name: "load", Seconds: 1}}}, backup.RehearsalOptions{Started: time.Now(), Passed: passed, Tool: "gwdr test"})
			if err != nil || len(problems) > 0 || len(attested.Locations) != len(h.job.Copies) {
				t.Errorf("attested %+v, %v, %v", attested, problems, err)
			}
			return attested
		}
		if a := attest(true); a.Result != backup.ResultPass {
			t.Errorf("attested %+v", a)
		}
		passed := last()
		if passed.IsZero() || time.Since(passed) > time.Second {
			t.Errorf("last passed at %s", passed)
		}
		if a := attest(false); a.Result != backup.ResultFail || !last().Equal(passed) {
			t.Errorf("attested %+v; last passed at %s", a, last())
		}
		for name, attested := range h.attestations(t, 0) {
			if len(attested) > 0 {
				t.Errorf("%s: %+v", name, attested)
			}
		}
		if scrubs := backup.Scrubs(t.Context(), h.job.Copies, h.job.Keys.Trusted); len(scrubs) > 0 {
			t.Errorf("scrubs: %v", scrubs)
		}
		time.Sleep(time.Hour)
		if v := h.verifyWith(t, backup.VerifyOptions{All: true, Attest: true}); !v.Sound() {
			t.Errorf("verification: %+v", v)
		}
		if len(backup.Scrubs(t.Context(), h.job.Copies, h.job.Keys.Trusted)) != len(h.job.Copies) || !last().Equal(passed) {
			t.Error("a verification after it is not seen, or hides it")
		}
		keys := h.job.Keys
		keys.Signer = sshsig.NewSigner("stranger")
		if _, _, err := backup.AttestRehearsal(t.Context(), h.job.Copies, keys, h.find(t)[0], backup.Rehearsal{}, backup.RehearsalOptions{}); err == nil {
			t.Error("a stranger attests")
		}
	})
}
