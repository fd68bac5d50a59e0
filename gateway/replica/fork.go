package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gwdr/gateway"
	"gwdr/gateway/native"
)

// join makes a fenced store a follower. What it acknowledged as a leader and the new leader never got is written to
// forked-epoch<N>.ndjson first, in the form that POST /v1/apply takes. On any other store join does nothing.
func (r *Replica) join(ctx context.Context, source *native.Client, from leader) error {
	role := r.Store.Role()
	if role.Mode != gateway.ModeFenced {
		return nil
	}
	_, theirs, err := source.State(ctx)
	if err != nil {
		return err
	}
	lost, err := r.lost(ctx, from.status, theirs)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		file := filepath.Join(r.Dir, fmt.Sprintf("forked-epoch%d.ndjson", role.Forked))
		if err := writeOnce(file, lost); err != nil {
			return fmt.Errorf("set aside what the new leader lacks: %w", err)
		}
		r.Log.Warn("changes that the new leader lacks were set aside", "file", file, "changes", len(lost))
	}
	return r.Store.Follow(ctx, from.client.URL, from.status.Epoch)
}

// SetAside returns the files in the directory with changes that a new leader lacked: they stay until people have looked at them.
func SetAside(dir string) []string {
	files, _ := fs.Glob(os.DirFS(dir), "forked-epoch*.ndjson") // the only error that it has is over a bad pattern
	return files
}

// lost returns the changes made here that theirs does not show: those after the revision up to which the new leader had
// copied this store. If that is not known, or too long ago, they are all entities that are here and differ there.
func (r *Replica) lost(ctx context.Context, leader gateway.Status, theirs *gateway.State) ([]gateway.Change, error) {
	if leader.LeaderStore == r.Store.ID() && leader.Applied > 0 {
		changes, err := r.Store.Since(ctx, leader.Applied)
		if !errors.Is(err, gateway.ErrCompacted) {
			return missing(changes, theirs), err
		}
	}
	_, ours, err := r.Store.State(ctx)
	if err != nil {
		return nil, err
	}
	var changes []gateway.Change
	for e := range ours.All() {
		changes = append(changes, gateway.Change{Op: gateway.Update, Entity: e})
	}
	return missing(changes, theirs), nil
}

// missing returns the changes whose effect theirs does not show.
func missing(changes []gateway.Change, theirs *gateway.State) (lost []gateway.Change) {
	for _, c := range changes {
		body, there := theirs.Get(c.Entity.Ref)
		if c.Op == gateway.Delete && there || c.Op != gateway.Delete && (!there || !bytes.Equal(body, c.Entity.Body)) {
			lost = append(lost, c)
		}
	}
	return lost
}

// writeOnce writes the changes to the file, whole and on disk, unless it is there: a second attempt to join sees less than
// the first.
func writeOnce(file string, changes []gateway.Change) error {
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	enc := json.NewEncoder(f)
	for _, c := range changes {
		if err = enc.Encode(c); err != nil {
			break
		}
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
