package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

// corruptWithin is how long a control plane may take to refuse a damaged store, or to serve it.
const corruptWithin = 5 * time.Second

// corrupt damages the targets' stores.
func (s *supervisor) corrupt(ctx context.Context, f *fault) error {
	return eachTarget(f, func(c *child) error { return s.corruptOne(ctx, c, f.undo.Fault) })
}

// eachTarget does the same to all targets at once.
func eachTarget(f *fault, do func(*child) error) error {
	var group errgroup.Group
	for _, c := range f.targets {
		group.Go(func() error { return do(c) })
	}
	return group.Wait()
}

func (s *supervisor) corruptOne(ctx context.Context, c *child, f fleet.Fault) error {
	c.hold(f.ID)
	if err := c.kill(ctx); err != nil {
		return err
	}
	copied := s.dir.undamaged(c.ID, f.ID)
	if err := copied.keep(s.dir.node(c.ID)); err != nil {
		return fmt.Errorf("keep store of %s: %w", c.ID, err)
	}
	d, err := planDamage(copied.store(), f)
	if err != nil {
		return err
	}
	if err := d.apply(s.store(c)); err != nil {
		return err
	}
	if err := c.start(); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, corruptWithin)
	defer cancel()
	if err := c.answers(limited, c.Started); err != nil {
		s.log.Warn("damaged store is not served", "instance", c.ID, "error", err) // as it should be; it is no failed injection
		return ctx.Err()
	}
	c.hold("")
	return nil
}

// uncorrupt gives each target its store back as it was, unless it was restored meanwhile.
func (s *supervisor) uncorrupt(ctx context.Context, f *fault) error {
	return eachTarget(f, func(c *child) error { return s.uncorruptOne(ctx, c, f.undo.Fault.ID) })
}

func (s *supervisor) uncorruptOne(ctx context.Context, c *child, fault string) error {
	if _, held := c.current(); held != "" && held != fault {
		return fmt.Errorf("%s is kept down by fault %s: revert that first", c.ID, held)
	}
	c.hold(fault)
	copied := s.dir.undamaged(c.ID, fault)
	node := s.dir.node(c.ID)
	if copied.whole() && !copied.replaced(node) {
		if err := c.kill(ctx); err != nil {
			return err
		}
		if err := copied.putBack(node); err != nil {
			return fmt.Errorf("put store of %s back: %w", c.ID, err)
		}
	}
	mode, err := s.bring(ctx, c)
	if err != nil {
		return err
	}
	if mode == modeBlank {
		return fmt.Errorf("%s has its store back and yet says it is %s", c.ID, mode)
	}
	if err := copied.drop(); err != nil {
		return fmt.Errorf("drop copy of the store of %s: %w", c.ID, err)
	}
	c.hold("")
	return nil
}

// undamaged is the directory with a copy of a store as it was before a fault, and of its identity.
type undamaged string

func (d layout) undamaged(id, fault string) undamaged {
	return undamaged(filepath.Join(d.node(id), "undamaged-"+fault))
}

func (u undamaged) store() string    { return filepath.Join(string(u), "store") }
func (u undamaged) identity() string { return filepath.Join(string(u), identityFile) }

// identityFile is beside a store, and says which store that is.
const identityFile = "store-id"

// keep makes the copy of what is in the directory of a control plane. It is there once it is whole.
func (u undamaged) keep(node string) error {
	part := undamaged(string(u) + ".part")
	if err := os.RemoveAll(string(part)); err != nil {
		return err
	}
	if err := os.Mkdir(string(part), 0o700); err != nil {
		return err
	}
	if err := copyTree(filepath.Join(node, "store"), part.store()); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(node, identityFile), part.identity()); err != nil {
		return err
	}
	return errors.Join(syncDir(string(part)), os.Rename(string(part), string(u)), syncDir(node))
}

// whole reports whether there is a copy. Without one nothing was damaged.
func (u undamaged) whole() bool {
	_, err := os.Stat(string(u))
	return !errors.Is(err, fs.ErrNotExist)
}

// replaced reports whether the store is another one by now: a restore gives it a new id. A promotion keeps that.
func (u undamaged) replaced(node string) bool {
	before, err1 := os.ReadFile(u.identity())
	now, err2 := os.ReadFile(filepath.Join(node, identityFile))
	id := func(b []byte) string { id, _, _ := strings.Cut(strings.TrimSpace(string(b)), " "); return id }
	return err1 == nil && err2 == nil && id(before) != id(now)
}

// putBack makes the store the copy. It may be called again after an error.
func (u undamaged) putBack(node string) error {
	store := filepath.Join(node, "store")
	if _, err := os.Stat(u.store()); err == nil {
		if err := errors.Join(os.RemoveAll(store), os.Rename(u.store(), store)); err != nil {
			return err
		}
	}
	id, err := os.ReadFile(u.identity())
	if err != nil {
		return err
	}
	return errors.Join(writeFile(filepath.Join(node, identityFile), id), syncDir(node))
}

// drop removes the copy, whole or not.
func (u undamaged) drop() error {
	return errors.Join(os.RemoveAll(string(u)), os.RemoveAll(string(u)+".part"))
}

// lookCorrupt compares the store with the copy of it, and says what the control plane does with it.
func (l *Lab) lookCorrupt(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	copied := l.dir.undamaged(t.ID, f.ID)
	if !copied.whole() {
		return "", fmt.Errorf("the store of %s was not damaged", t.ID)
	}
	d, err := planDamage(copied.store(), f)
	if err != nil {
		return "", err
	}
	left := d.left(filepath.Join(l.dir.node(t.ID), "store"))
	if left == 0 {
		return "", fmt.Errorf("%s: nothing is left of %s: all of it was written over", t.ID, d)
	}
	return fmt.Sprintf("%s, of which %d are there now; the control plane %s", d, left, l.copes(ctx, t)), nil
}

// lastWords returns the cause of the end in the last lines of a log: the beginning of a panic rather than its stack.
func lastWords(lines []string) string {
	for _, line := range slices.Backward(lines) {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			return line
		}
	}
	return strings.Join(lines[max(0, len(lines)-1):], "")
}

// copes says what a control plane does now.
func (l *Lab) copes(ctx context.Context, t targetID) string {
	var now identity
	if readJSON(l.dir.pid(t.ID), &now) != nil || !now.Alive() {
		return "does not run: " + lastWords(tail(l.dir.log(t.ID), 200))
	}
	mode, err := controlMode(ctx, l.http, "http://"+t.Ports[len(t.Ports)-1], l.file.AdminToken)
	if err != nil {
		return "runs and does not serve: " + err.Error()
	}
	return "serves, and says it is " + mode
}
