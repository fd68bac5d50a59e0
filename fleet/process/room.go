package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gwdr/fleet"
)

// fill starts the targets with stores on file systems that have no room left.
func (s *supervisor) fill(ctx context.Context, f *fault) error {
	f.rooms = make(map[*child]*room, len(f.targets))
	for _, c := range f.targets {
		r, err := openRoom()
		if err != nil {
			return fmt.Errorf("fill disk of %s: %w", c.ID, err)
		}
		f.rooms[c] = r
	}
	if err := eachTarget(f, func(c *child) error { return s.fillOne(ctx, c, f) }); err != nil {
		return err
	}
	f.background(ctx, func(ctx context.Context) { // a control plane that deletes files is not to gain by it
		for sleep(ctx, fillEvery); ctx.Err() == nil; sleep(ctx, fillEvery) {
			for c, r := range f.rooms {
				r.shrink(s.store(c)) // whoever looks sees whether there is room
			}
		}
	})
	return nil
}

// fillEvery is for how long room that the control plane makes may be left.
const fillEvery = 100 * time.Millisecond

// fillOne lets the target serve first, and takes the room away then, as it is with disks.
func (s *supervisor) fillOne(ctx context.Context, c *child, f *fault) error {
	c.hold(f.undo.Fault.ID)
	if err := c.kill(ctx); err != nil {
		return err
	}
	r := f.rooms[c]
	if err := r.move(s.store(c)); err != nil {
		return fmt.Errorf("fill disk of %s: %w", c.ID, err)
	}
	c.spawn = r.spawn
	if _, err := s.bring(ctx, c); err != nil {
		return err
	}
	if err := s.takeRoom(ctx, c, r); err != nil {
		return fmt.Errorf("fill disk of %s: %w", c.ID, err)
	}
	c.hold("")
	return nil
}

// takeRoom leaves no room on the disk, also where the control plane has reserved some: its log would last for a long time
// otherwise, and the fault would show much later. The control plane stands still meanwhile, so that nothing is lost.
func (s *supervisor) takeRoom(ctx context.Context, c *child, r *room) error {
	err := stopAll(ctx, []*child{c})
	if err == nil {
		err = r.squeeze(s.store(c))
	}
	if err == nil {
		err = r.shrink(s.store(c))
	}
	return errors.Join(err, c.signal(syscall.SIGCONT))
}

// empty gives the targets their room back, with all that they have written meanwhile.
func (s *supervisor) empty(ctx context.Context, f *fault) error {
	f.halt()
	return eachTarget(f, func(c *child) error { return s.emptyOne(ctx, c, f) })
}

func (s *supervisor) emptyOne(ctx context.Context, c *child, f *fault) error {
	fault := f.undo.Fault.ID
	if _, held := c.current(); held != "" && held != fault {
		return fmt.Errorf("%s is kept down by fault %s: revert that first", c.ID, held)
	}
	store := s.store(c)
	saved := store + ".full-" + fault
	if r := f.rooms[c]; r != nil && !r.closed {
		c.hold(fault)
		if err := c.kill(ctx); err != nil {
			return err
		}
		if err := r.save(store, saved); err != nil {
			return fmt.Errorf("save what %s has written: %w", c.ID, err)
		}
		r.close()
		c.spawn = s.spawn
	}
	if err := replaceBy(store, saved); err != nil {
		return fmt.Errorf("give %s its disk back: %w", c.ID, err)
	}
	if _, err := mountedBy(os.Getpid(), store); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("the store of %s is still on another disk", c.ID), err)
	}
	if _, err := s.bring(ctx, c); err != nil {
		return err
	}
	c.hold("")
	return nil
}

// replaceBy puts saved in the place of store, if it is there. It may be called again after an error.
func replaceBy(store, saved string) error {
	if _, err := os.Stat(saved); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(os.RemoveAll(store), os.Rename(saved, store), syncDir(filepath.Dir(store)))
}

// lookFull writes to the disk of the store itself, as the control plane would.
func (l *Lab) lookFull(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	store := filepath.Join(l.dir.node(t.ID), "store")
	seen, err := mountedBy(l.file.PID, store)
	if err != nil {
		return "", fmt.Errorf("the store of %s is on no disk of its own: %w", t.ID, err)
	}
	if err := noRoom(seen); err != nil {
		return "", fmt.Errorf("the disk of %s is not full: %w", t.ID, err)
	}
	return "the disk of its store takes no further byte (no space left on device); the control plane " + l.copes(ctx, t), nil
}
