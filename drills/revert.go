package drills

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"gwdr/fleet"
	"gwdr/internal/journal"
)

// ErrFleetGone is returned by an Opener when the whole fleet is gone, and every fault with it. The errors of a Fleet may wrap it: then
// nobody waits for what cannot come back.
var ErrFleetGone = errors.New("the fleet is gone, and its faults with it")

// Opener opens the fleet that an undo record belongs to.
type Opener func(ctx context.Context, u fleet.Undo) (fleet.Fleet, error)

// Reverter reverts what runs that are not running any more have left behind.
type Reverter struct {
	Open     Opener
	Report   func(dir string, r *Result) error // as of a Runner; optional
	Patience Patience
	Log      *slog.Logger
}

// Reverted is what a Reverter did to a run.
type Reverted struct {
	Run       string   `json:"run"`
	Reverted  []string `json:"reverted"`  // ids of faults, in the order of their revert
	Leftovers []string `json:"leftovers"` // ids of faults that are still in effect
	Clean     bool     `json:"clean"`
}

// Revert replays the undo log of the run in dir in reverse order, writes what became of it beside the run's journal, and
// looks for leftovers. It may be repeated. The error wraps ErrRefused while the run, or another, is at work; after any
// other error without a Reverted that is clean, a fault may still be in effect.
func (r *Reverter) Revert(ctx context.Context, dir string) (*Reverted, error) {
	l, err := takeLock(filepath.Dir(dir), "gwdr drill revert")
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	} else if err != nil {
		return nil, err
	}
	defer l.release()
	result, err := r.revert(ctx, dir, "revert")
	return result, errors.Join(err, reportLeft(filepath.Dir(dir), r.Report))
}

// revert does the work of Revert for the holder of the lock; by names it in the record.
func (r *Reverter) revert(ctx context.Context, dir, by string) (*Reverted, error) {
	undos, damage := readUndos(dir)
	if known := (*DamageError)(nil); damage != nil && !errors.As(damage, &known) {
		return nil, damage
	}
	left, err := pending(dir, undos)
	if err != nil {
		return nil, err
	}
	p := &replay{Reverter: r, by: by, journal: r.openJournal(dir), began: time.Now()}
	if damage != nil { // the rest is reverted all the same
		p.errs = append(p.errs, damage)
	}
	result := &Reverted{Run: filepath.Base(dir), Reverted: p.all(ctx, left), Leftovers: p.leftovers(ctx, undos)}
	result.Clean = len(p.errs) == 0 && len(result.Leftovers) == 0
	p.note(entryLeftovers, leftoversFact{IDs: result.Leftovers})
	p.note(entryEnd, endFact{Clean: result.Clean, By: by})
	if p.journal != nil {
		p.errs = append(p.errs, p.journal.Close())
	}
	return result, errors.Join(p.errs...)
}

// openJournal returns nil if the record cannot be written: reverting is more important than its record.
func (r *Reverter) openJournal(dir string) *journal.Journal {
	path := filepath.Join(dir, RevertFile)
	if err := freeReserve(dir); err != nil { // of a run that was killed
		r.Log.Warn("free the reserve", "err", err)
	}
	j, err := journal.Create(path)
	if errors.Is(err, fs.ErrExist) {
		j, _, err = journal.Open(path)
	}
	if err != nil {
		r.Log.Error("record of the revert cannot be written", "err", err)
		return nil
	}
	return j
}

// replay is one revert of a run.
type replay struct {
	*Reverter
	by      string
	journal *journal.Journal
	began   time.Time
	errs    []error
}

func (p *replay) note(kind string, data any) {
	if p.journal == nil {
		return
	}
	if err := p.journal.Append(kind, time.Since(p.began), data); err != nil {
		p.Log.Error("record of the revert cannot be written", "err", err)
	}
}

// all reverts the faults, newest first, and returns the ids of those that are proven gone.
func (p *replay) all(ctx context.Context, undos []fleet.Undo) []string {
	done := []string{}
	for _, u := range slices.Backward(undos) {
		fact := faultFact{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets, By: p.by}
		if err := p.one(ctx, u); err != nil {
			fact.Error = err.Error()
			p.errs = append(p.errs, err)
		} else {
			done = append(done, u.Fault.ID)
		}
		p.note(entryReverted, fact)
	}
	return done
}

func (p *replay) one(ctx context.Context, u fleet.Undo) error {
	f, err := p.Open(ctx, u)
	if errors.Is(err, ErrFleetGone) {
		return nil
	} else if err != nil {
		return fmt.Errorf("revert fault %s: %w", u.Fault.ID, err)
	}
	return revertOne(ctx, f, u, p.Patience, func(text string) { p.Log.Warn(text) })
}

// leftovers asks the fleets of all undo records.
func (p *replay) leftovers(ctx context.Context, undos []fleet.Undo) []string {
	ids := []string{}
	for _, u := range undos {
		f, err := p.Open(ctx, u)
		if errors.Is(err, ErrFleetGone) {
			continue
		}
		var found []string
		if err == nil {
			found, err = f.Leftovers(ctx)
		}
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("look for leftovers: %w", err))
		}
		ids = append(ids, found...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
