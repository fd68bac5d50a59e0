package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// UnreadFact says that a region was to be read back, and could not be: it counts neither as having the changes nor as having
// lost them.
type UnreadFact struct {
	Stage  Phase  `json:"stage"` // Sustain or Reconciling
	Region string `json:"region"`
	Error  string `json:"error"`
}

// AgreedFact is when all regions had the same configuration again after a heal: not yet at Low, for certain at High.
type AgreedFact struct {
	Healed time.Duration `json:"healed_ns"`
	Low    time.Duration `json:"low_ns"`
	High   time.Duration `json:"high_ns"`
}

// convergence watches for the first instant at which all regions have the same configuration.
type convergence struct {
	healed, low time.Duration
	agreed      *AgreedFact // nil: not yet
}

func newConvergence(healed time.Duration) *convergence {
	return &convergence{healed: healed, low: healed}
}

// saw takes an answer of all regions that was asked for at from and complete at to.
func (c *convergence) saw(agree bool, from, to time.Duration) {
	switch {
	case c.agreed != nil:
	case agree:
		c.agreed = &AgreedFact{Healed: c.healed, Low: c.low, High: to}
	default:
		c.low = from
	}
}

// reconcile reads back what all regions have in the end.
func (d *drill) reconcile(ctx context.Context) {
	if err := d.readBack(ctx, Reconciling, FinalFile); err != nil {
		d.Log.Error("read back", "err", err)
	}
}

// readBack quiesces the writers and reads every region that can be read. One that cannot is on record.
func (d *drill) readBack(ctx context.Context, stage Phase, file string) error {
	if d.Admin == nil {
		return nil
	}
	d.meter.quiesce()
	ctx, cancel := context.WithTimeout(ctx, scenarios.ReadBackLimit)
	defer cancel()
	all, unread, err := observe(ctx, d.Admin, d.meter.changes())
	if err != nil {
		return err
	}
	for _, u := range unread {
		u.Stage = stage
		if err := d.note(entryUnread, u); err != nil {
			return err
		}
	}
	return errors.Join(d.observations(file, all), d.noteDigests(ctx, stage))
}

// observe reads back what every region that answers has of the changes. The error says that nobody knows the regions, or that
// ctx ended.
func observe(ctx context.Context, admin probes.Admin, changes []probes.Change) (all []probes.Observation, unread []UnreadFact, err error) {
	regions, err := admin.Regions(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read back: %w", err)
	}
	for i, region := range regions {
		seen, err := observeRegion(ctx, admin, region, changes, len(regions)-i)
		switch {
		case err == nil:
			all = append(all, seen...)
		case errors.Is(ctx.Err(), context.Canceled):
			return nil, nil, fmt.Errorf("read back %s: %w", region, err)
		default:
			unread = append(unread, UnreadFact{Region: region, Error: err.Error()})
		}
	}
	return all, unread, nil
}

// observeRegion reads one region back, within its share of the time that is left for it and those after it: one that hangs takes
// nothing from them.
func observeRegion(ctx context.Context, admin probes.Admin, region string, changes []probes.Change, left int) ([]probes.Observation, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
		defer cancel()
	}
	return admin.Observe(ctx, region, changes)
}
