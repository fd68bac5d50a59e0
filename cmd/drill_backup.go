package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"gwdr/backup"
	"gwdr/drills"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// drillBackups takes and restores the backups of a drill.
type drillBackups struct {
	admin *native.Client // the leading control plane
	job   backup.Job
	log   *slog.Logger
}

// fresh returns the newest backup of this very store if it is not older than maxAge and verifies at enough locations, and
// else takes one.
func (b *drillBackups) fresh(ctx context.Context, maxAge time.Duration) (drills.Backup, error) {
	if maxAge > 0 {
		status, err := b.admin.Brief(ctx)
		if err != nil {
			return drills.Backup{}, err
		}
		found, _ := backup.Find(ctx, b.job.Copies, b.job.Keys.Trusted)
		if len(found) > 0 && found[0].Store == status.Store && time.Since(found[0].Time) <= maxAge {
			if kept, err := b.verified(ctx); err == nil && len(kept.Locations) > 1 {
				return kept, nil
			}
		}
	}
	if _, err := backup.Take(ctx, b.job); err != nil {
		return drills.Backup{}, err
	}
	return b.verified(ctx)
}

// verified reads the newest backup back from every location, byte for byte, and opens it with the current key.
func (b *drillBackups) verified(ctx context.Context) (drills.Backup, error) {
	found, problems := backup.Find(ctx, b.job.Copies, b.job.Keys.Trusted)
	if len(found) == 0 {
		var errs []error
		for _, p := range problems {
			errs = append(errs, p.Err)
		}
		return drills.Backup{}, errors.Join(append(errs, errors.New("no location has a backup"))...)
	}
	v, err := backup.Verify(ctx, b.job.Copies, b.job.Keys, backup.VerifyOptions{})
	if err != nil {
		return drills.Backup{}, err
	}
	if !v.Restorable() || v.Decrypted == 0 {
		return drills.Backup{}, fmt.Errorf("backup %s cannot be restored", found[0].Name)
	}
	kept := drills.Backup{Point: found[0].Name, Time: found[0].Time, Age: time.Since(found[0].Time)}
	for _, l := range v.Locations {
		if len(l.Problems) == 0 && slices.Contains(found[0].Copies, l.Name) {
			kept.Locations = append(kept.Locations, l.Name)
		}
	}
	return kept, nil
}

// restore brings the newest backup back into the target, with every revocation that the witnesses know. The drill's ledger writes
// to the target all the while, if that takes writes. So what is there beyond the backup is no difference, and the changes are not held
// to the revision that they were planned for: under load there is another before they arrive, each time. Nothing of the ledger's is
// written over that came meanwhile, as it leaves alone what it changed before the fault, and the backup is from before that.
func (b *drillBackups) restore(ctx context.Context, target *native.Client, witnesses []restore.RevocationSource) error {
	r := &restore.Restore{Source: restore.Source{Copies: b.job.Copies, Keys: b.job.Keys, Witnesses: witnesses, Log: b.log},
		Target: target, NoDelete: true}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if err := target.Apply(ctx, plan.Changes); err != nil { // also without changes: it ends the target's wait for a restore
		return fmt.Errorf("apply changes: %w", err)
	}
	after, err := target.Export(ctx)
	if err != nil {
		return fmt.Errorf("read the restored gateway back: %w", err)
	}
	return restored(plan, after.State)
}

// restored wants all that was in the backup, and all that was changed, to be as planned.
func restored(plan *restore.Plan, after *gateway.State) error {
	refs := plan.Source.State.Refs()
	for _, c := range plan.Changes {
		refs = append(refs, c.Entity.Ref)
	}
	for _, ref := range refs {
		want, wanted := plan.Wanted.Get(ref)
		if body, there := after.Get(ref); there != wanted || !bytes.Equal(body, want) {
			return fmt.Errorf("%w: %s", restore.ErrDigest, ref)
		}
	}
	return nil
}
