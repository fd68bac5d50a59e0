package e2e

import (
	"errors"
	"path/filepath"
	"testing"

	"gwdr/backup"
	"gwdr/backup/tree"
)

// objects reads everything at the location.
func objects(t *testing.T, l backup.Location) map[string]string {
	t.Helper()
	listed, err := l.List(t.Context(), "gwdr1/")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, o := range listed {
		if o.Name != tree.Canary {
			all[o.Name] = get(t, l, o.Name)
		}
	}
	return all
}

// TestRepair heals bit rot behind an S3 server; where a lock keeps what is damaged, it says so, and leaves it.
func TestRepair(t *testing.T) {
	options := backup.VerifyOptions{All: true, Repair: true}
	h := newHouse(t)
	h.take(t)
	damaged := filepath.Join(shared.data, h.bucket)
	flip(t, damaged, "packs")
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, options)
	if err != nil || v.Sound() || !v.Restorable() || len(v.Repairs) != 1 || !errors.Is(v.Repairs[0].Err, backup.ErrKeeps) {
		t.Errorf("locked: Verify = %+v, %v", v, err)
	}

	h = newHouse(t)
	h.bucket = shared.bucket(t, false)
	h.job.Copies[2].Location = shared.openWith(t, h.bucket, "", shared.dial)
	h.take(t)
	whole := objects(t, h.job.Copies[2].Location)
	flip(t, filepath.Join(shared.data, h.bucket), "gwdr1")
	v, err = backup.Verify(t.Context(), h.job.Copies, h.job.Keys, options)
	if err != nil || !v.Sound() || len(v.Repairs) != len(whole) {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	after := objects(t, h.job.Copies[2].Location)
	for name, content := range whole {
		if content != after[name] {
			t.Errorf("%s is not as it was", name)
		}
	}
}
