package backup_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/internal/sshsig"
)

func (h *house) attestations(t testing.TB, problems int) map[string][]backup.Attestation {
	t.Helper()
	attested, found := backup.Attestations(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	if len(found) != problems {
		t.Errorf("problems: %+v, want %d", found, problems)
	}
	return attested
}

func TestAttest(t *testing.T) {
	h := longHouse(t)
	if attested := h.attestations(t, 0); len(attested["nas"]) != 0 {
		t.Errorf("before: %+v", attested)
	}
	v := h.verifyWith(t, backup.VerifyOptions{All: true, Attest: true, Tool: "gwdr test"})
	if !v.Sound() || v.Attested == nil || v.Attested.Result != backup.ResultPass || len(v.Attested.Locations) != 3 {
		t.Fatalf("verification: %+v", v)
	}
	for _, m := range h.memories {
		if !bytes.Equal(m.Objects()[v.Attested.Object], h.memories[0].Objects()[v.Attested.Object]) {
			t.Error("locations differ")
		}
	}
	newest := h.find(t)[0]
	for name, attested := range h.attestations(t, 0) {
		if len(attested) != 1 {
			t.Fatalf("%s: %+v", name, attested)
		}
		a := attested[0]
		if a.Point != newest.Name || a.PointSum != newest.SHA256 || a.Lineage != newest.Lineage || a.Points != 5 || a.Decrypted != 5 || a.Scope != "all" ||
			a.Result != backup.ResultPass || len(a.Locations) != 3 || a.Locations[1].Objects != v.Locations[1].Objects || a.Tool != "gwdr test" ||
			len(a.Identities) != 1 || a.Identities[0] != h.job.Keys.RecipientIDs[0] || a.Signer != h.job.Keys.Signer.Public().Fingerprint() {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if v := h.verifyWith(t, backup.VerifyOptions{All: true}); !v.Sound() || v.Locations[0].Objects != len(h.memories[0].Objects()) {
		t.Errorf("verification of the attestation: %+v", v)
	}
}

// TestAttestFailure: a failed verification is attested as well, and the last time that a location passed is still found.
func TestAttestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, someEntities()...)
		h.take(t)
		options := backup.VerifyOptions{Attest: true}
		first := h.verifyWith(t, backup.VerifyOptions{All: true, Attest: true}).Attested
		for range 3 {
			time.Sleep(time.Minute)
			flip(t, h.memories[1], "/packs/", 100)
			if v := h.verifyWith(t, options); v.Attested.Result != backup.ResultFail {
				t.Errorf("verification: %+v", v)
			}
			flip(t, h.memories[1], "/packs/", 100)
		}
		attested := h.attestations(t, 0)
		nas, local := attested["nas"], attested["local"]
		if len(nas) != 4 || nas[0].Result != backup.ResultFail || nas[0].Locations[1].Result != backup.ResultFail ||
			nas[3].Result != backup.ResultPass || !strings.HasSuffix(first.Object, nas[3].Ended.Format("-20060102T150405.000Z.tar")) {
			t.Errorf("nas: %+v", nas)
		}
		if len(local) != 4 || local[0].Result != backup.ResultFail || local[0].Locations[0].Result != backup.ResultPass {
			t.Errorf("local: %+v", local)
		}
		scrubs := backup.Scrubs(t.Context(), h.job.Copies, h.job.Keys.Trusted)
		if s := scrubs["nas"]; !s.Ended.Equal(nas[0].Ended) || !s.Passed.Equal(nas[3].Ended) {
			t.Errorf("nas: %+v", s)
		}
		if s := scrubs["local"]; !s.Ended.Equal(nas[3].Ended) || !s.Passed.Equal(nas[3].Ended) { // since then only the newest point was read
			t.Errorf("local: %+v", s)
		}
		newest, verified := h.find(t)[0], backup.VerifiedAt(map[string][]backup.Attestation{"nas": nas[:3], "local": local[:1]})
		if verified("nas", newest) || !verified("local", newest) || verified("offsite", newest) {
			t.Error("what is verified where is not what is attested")
		}
	})
}

// TestAttestWhatCounts: who did not sign, and what lies elsewhere, does not count.
func TestAttestWhatCounts(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	object := h.verifyWith(t, backup.VerifyOptions{Attest: true}).Attested.Object
	flip(t, h.memories[1], "/attest/", 700)
	h.memories[2].Set(object, nil) // a new place under an old name
	if attested := h.attestations(t, 1); len(attested["nas"])+len(attested["offsite"]) > 0 || len(attested["local"]) != 1 {
		t.Errorf("attested: %+v", attested)
	}
	v := h.verifyWith(t, backup.VerifyOptions{All: true})
	if v.Sound() || !v.Restorable() || len(v.Locations[1].Problems) != 1 || len(v.Locations[2].Problems) != 0 {
		t.Errorf("verification: %+v", v)
	}
	i := strings.LastIndex(object, "-2")
	other := object[:i] + "-3" + object[i+2:] // it seems to be of the future
	h.memories[0].Set(other, h.memories[0].Objects()[object])
	h.attestations(t, 2)
	h.memories[0].Set(other, nil)
	h.job.Keys.Trusted = backuptest.NewKeys(t).Trusted
	if attested := h.attestations(t, 2); len(attested["local"]) > 0 {
		t.Errorf("of strangers: %+v", attested)
	}
}

// TestAttestRefused: before anything is read, if nobody would believe it.
func TestAttestRefused(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	for _, m := range h.memories {
		m.Break(func(context.Context, string, string) error {
			t.Error("something was read")
			return nil
		})
	}
	keys := h.job.Keys
	keys.Trusted = sshsig.Trusted{}.Trust("ops", keys.Signer.Public(), backup.PointNamespace, backup.RepoNamespace, backup.SegmentNamespace)
	_, err := backup.Verify(t.Context(), h.job.Copies, keys, backup.VerifyOptions{Attest: true})
	if !errors.Is(err, backup.ErrAttest) || !strings.Contains(err.Error(), backup.AttestNamespace) {
		t.Errorf("without the namespace: %v", err)
	}
	keys.Signer = nil
	if _, err := backup.Verify(t.Context(), h.job.Copies, keys, backup.VerifyOptions{Attest: true}); !errors.Is(err, backup.ErrAttest) {
		t.Errorf("without a key: %v", err)
	}
}

// TestAttestUnwritable: a location that does not take the record is told of, and nothing is attested of no point.
func TestAttestUnwritable(t *testing.T) {
	h := newHouse(t, someEntities()...)
	if v := h.verifyWith(t, backup.VerifyOptions{Attest: true}); v.Attested != nil || v.Restorable() {
		t.Errorf("without a point: %+v", v)
	}
	h.take(t)
	h.memories[1].Break(func(_ context.Context, op, _ string) error {
		if op == "put" {
			return errors.New("read-only")
		}
		return nil
	})
	v := h.verifyWith(t, backup.VerifyOptions{Attest: true})
	if v.Sound() || !v.Restorable() || len(v.Attested.Locations) != 2 || len(v.Locations[1].Problems) != 1 {
		t.Errorf("verification: %+v", v)
	}
}
