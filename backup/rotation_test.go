package backup_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/internal/sshsig"
)

// signers reads lines of an allowed_signers file.
func signers(t *testing.T, lines ...string) sshsig.Trusted {
	t.Helper()
	trusted, err := sshsig.ParseTrusted([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return trusted
}

// until is the line of a key that is trusted until the time.
func until(signer *sshsig.Signer, end time.Time) string {
	return fmt.Sprintf("old valid-before=%q %s", end.UTC().Format("20060102150405Z"), signer.Public())
}

// TestSignerRotation: points of a replaced key stay valid as long as their own time is in its window, and no later ones
// do.
func TestSignerRotation(t *testing.T) {
	h := newHouse(t, someEntities()...)
	old, replacement := h.job.Keys.Signer, sshsig.NewSigner("")
	h.take(t)
	point := h.find(t)[0]
	anew := "new " + replacement.Public().String()

	h.job.Keys.Signer, h.job.Keys.Trusted = replacement, signers(t, until(old, point.Time), anew)
	result := h.take(t)
	if result.Lineage != point.Lineage {
		t.Errorf("the new key began the lineage %s", result.Lineage)
	}
	if found := h.find(t); len(found) != 2 || found[1].Name != point.Name {
		t.Errorf("found %v, want both points", found)
	}
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true})
	if err != nil || !v.Sound() { // repo.tar is of the old key too, and bears no date
		t.Errorf("Verify = %+v, %v", v, err)
	}
	found, problems := backup.Find(t.Context(), h.job.Copies, signers(t, until(old, point.Time.Add(-time.Second)), anew))
	if len(found) != 1 || len(problems) != 3 || !strings.Contains(problems[0].Text, "is trusted for gwdr-point-v1 until ") {
		t.Errorf("found %v; %v", found, problems)
	}
	if found, _ := backup.Find(t.Context(), h.job.Copies, signers(t, anew)); len(found) != 1 {
		t.Errorf("without the old key: found %v", found)
	}
	h.job.Keys.Signer = old
	h.job.Keys.Trusted = signers(t, until(old, time.Now().Add(-time.Minute)), anew)
	if _, err := backup.Take(t.Context(), h.job); err == nil || !strings.Contains(err.Error(), "the trusted signers do not include the signing key") {
		t.Errorf("backup with a key whose time is over: %v", err)
	}
}
