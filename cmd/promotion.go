package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/store"
	"gwdr/restore"
)

// mark is from-backup.json in a data directory: its store is being made from a backup, or was. A store that is not done is
// never served.
type mark struct {
	Schema string `json:"schema"` // gwdr/from-backup/v1
	Parent string `json:"parent"` // lineage@revision
	Point  string `json:"point"`
	Store  string `json:"store,omitempty"` // its id; empty: it is not done
	Noted  bool   `json:"noted,omitempty"` // the spool knows the parent
}

const markSchema = "gwdr/from-backup/v1"

func markFile(dir string) string { return filepath.Join(dir, "from-backup.json") }

// readMark returns nil if there is none.
func readMark(dir string) (*mark, error) {
	raw, err := os.ReadFile(markFile(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	m := &mark{}
	if err == nil {
		err = json.Unmarshal(raw, m)
	}
	if err == nil && m.Schema != markSchema {
		err = fmt.Errorf("its schema is %q", m.Schema)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", markFile(dir), err)
	}
	return m, nil
}

// write puts the mark in its place, durably.
func (m mark) write(dir string) error {
	m.Schema = markSchema
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	f, err := os.OpenFile(markFile(dir)+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	_, err = f.Write(append(raw, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), markFile(dir))
	}
	if err == nil {
		err = syncFolder(dir)
	}
	if err != nil {
		return fmt.Errorf("write mark: %w", err)
	}
	return nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// examine finds out what the data directory holds: nothing, a store that was promoted, or the half of one, which goes. The
// store of another gateway is left alone.
func (in *instance) examine(dir string) (promoted bool, err error) {
	m, err := readMark(dir)
	if err != nil {
		return false, err
	}
	remains, err := store.Remains(dir)
	switch {
	case err != nil:
		return false, fmt.Errorf("look for a store: %w", err)
	case remains && m == nil:
		return false, withHint(exitWith(exitRefused, fmt.Errorf("%s holds the store of a gateway already", dir)),
			"without --from-backup it is served; with another --data the backup is")
	case remains && m.Store != "":
		return true, nil
	case remains:
		in.Log.Warn("a promotion did not come to its end: its half of a store is discarded", "data", dir)
		err = store.Discard(dir)
	}
	if err == nil && m != nil {
		err = errors.Join(os.Remove(markFile(dir)), syncFolder(dir))
	}
	return false, err
}

// refuseHalf keeps an ordinary gateway from the half of a store.
func refuseHalf(dir string) error {
	m, err := readMark(dir)
	if err != nil || m == nil || m.Store != "" {
		return err
	}
	return withHint(exitWith(exitRefused, fmt.Errorf("%s holds the half of a store: a promotion did not come to its end", dir)),
		"start it with --from-backup once more: the backup is served, and can be promoted")
}

// Promote makes the instance an ordinary gateway: its store is what the backup gave. It is done once; who asks again gets the
// same answer. It goes on when whoever asked is gone, but ends with the process.
func (b *standby) Promote(context.Context) (admin.Promotion, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done != nil {
		return *b.done, nil
	}
	if !b.options.controls() {
		return admin.Promotion{}, &admin.PromotionError{Text: "a process with --role data has no store to promote", Hint: "start one with --role all"}
	}
	b.said("under way")
	b.following()
	done, err := b.promote(b.background)
	if err != nil {
		b.Log.Error("promotion failed: the backup is served further", "error", err)
		b.said("failed: " + err.Error())
		b.follow(b.background)
		return admin.Promotion{}, err
	}
	b.done = &done
	b.said("done")
	return done, nil
}

func (b *standby) said(text string) { b.promotion.Store(&text) }

func (b *standby) promote(ctx context.Context) (done admin.Promotion, err error) {
	b.trail.Look(ctx) // nothing that is there now shall be lost
	s := b.trail.Snapshot()
	if s == nil {
		return done, &admin.PromotionError{Text: "no backup could be read yet: there is nothing to promote", Hint: "GET /v1/status says why"}
	}
	dir := b.options.data
	if _, err := b.examine(dir); err != nil {
		return done, &admin.PromotionError{Text: err.Error(), Hint: "start again with another --data"}
	}
	m := mark{Parent: fmt.Sprintf("%s@%d", s.Point.Lineage, s.Revision), Point: s.Point.Name}
	if err := m.write(dir); err != nil {
		return done, err
	}
	st, err := fill(ctx, dir, s, b.instance)
	if err == nil {
		m.Store = st.ID()
		err = m.write(dir)
	}
	if err != nil {
		if st != nil {
			err = errors.Join(err, st.Close())
		}
		_, examineErr := b.examine(dir) // which discards what there is of it
		return done, errors.Join(err, examineErr)
	}
	done = admin.Promotion{Epoch: st.Role().Epoch, Store: m.Store, Parent: m.Parent, Note: b.noteParent(ctx, m)}
	b.lead(ctx, st)
	return done, nil
}

// fill opens a new store in the directory and restores the snapshot into it, as any restore does.
func fill(ctx context.Context, dir string, s *restore.Snapshot, in *instance) (*store.Store, error) {
	st, err := store.Open(ctx, store.Options{Dir: dir, Locked: true, Log: in.Log})
	if err != nil {
		return nil, err
	}
	r := restore.Restore{Source: restore.Source{Log: in.Log}, Target: storeTarget{st}}
	plan, err := r.PlanOf(ctx, s)
	if err == nil {
		_, err = r.Apply(ctx, plan)
	}
	if err != nil {
		return st, fmt.Errorf("restore into the store: %w", err)
	}
	return st, nil
}

// noteParent makes the next backup that is taken here begin a lineage that names its parent, and returns why it may not.
func (in *instance) noteParent(ctx context.Context, m mark) string {
	name, spool := in.spool()
	_, missing := os.Stat(spool)
	var err error
	if _, urls := in.options.backup.named(); name == "" || in.labLocations() && len(urls) > 0 {
		err = errors.New("no gateway is configured here")
	} else {
		err = backup.RecordRestore(ctx, spool, name, m.Store, m.Parent)
	}
	if err != nil {
		text := fmt.Sprintf("the next backup will not name %s as its parent: %v", m.Parent, err)
		in.Log.Warn(text)
		return text
	}
	m.Noted = true
	if err := m.write(in.options.data); err != nil {
		in.Log.Warn("the spool knows the parent, but this was not written down", "error", err)
	}
	if missing != nil {
		return fmt.Sprintf("the spool of the old gateway is not here: the next backup names %s as its parent if it is taken on this machine", m.Parent)
	}
	return ""
}

// lead makes the store what is followed and what the admin API answers from. No request notices: the data plane serves the
// same configuration before and after.
func (b *standby) lead(ctx context.Context, st *store.Store) {
	b.filled = st
	b.measureControl(st)
	b.running.Go(func() { b.proxy.Follow(ctx, ownStore{st}) })
	b.running.Go(func() {
		select {
		case <-st.Stopped():
			b.failed <- errors.New("store stopped by itself")
		case <-ctx.Done():
		}
	})
	b.promoted.Store(true)
	b.api.become(b.instance.standby, st)
	b.progress("promoted: this is an ordinary gateway now, with the store %s in %s", st.ID(), b.options.data)
}

// storeTarget is a store of this process, as a restore writes to it.
type storeTarget struct{ *store.Store }

// Export reads the store.
func (t storeTarget) Export(ctx context.Context) (*gateway.Export, error) {
	h, state, err := t.State(ctx)
	if err != nil {
		return nil, err
	}
	return &gateway.Export{State: state, Store: h.Store, Revision: h.Revision, Time: h.Time}, nil
}

// Apply makes the changes.
func (t storeTarget) Apply(ctx context.Context, changes []gateway.Change) error {
	_, err := t.ApplyBulk(ctx, changes, gateway.Bulk{})
	return err
}

// ApplyBulk makes the changes if the store is still at the revision that they were planned for.
func (t storeTarget) ApplyBulk(ctx context.Context, changes []gateway.Change, how gateway.Bulk) (int64, error) {
	applied, revision, err := t.Store.Apply(ctx, changes, how)
	if err != nil {
		return revision, &gateway.PartialError{Applied: applied, Err: err}
	}
	return revision, nil
}
