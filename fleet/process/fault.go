package process

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"gwdr/fleet"
)

// fault is one that is in effect, at least in part.
type fault struct {
	undo    fleet.Undo
	targets []*child
	beside  []*child         // processes that are part of the fault
	rooms   map[*child]*room // disks of their own; not changed once there
	halt    func()           // ends what goes on in the background, and returns when it has ended

	mu      sync.Mutex
	broken  bool // all of it is in effect, and nobody reverts it
	until   time.Time
	expires *time.Timer
	problem string // of the last attempt to revert it
}

// FaultStatus is a fault that is in effect.
type FaultStatus struct {
	fleet.Fault
	Targets []string `json:"targets"`
	Left    float64  `json:"lease_left_s"`
	Problem string   `json:"problem,omitempty"` // why it could not be reverted so far
}

// errUnknownFault says that the fault was reverted, or healed by itself, or never injected.
var errUnknownFault = errors.New("fault is not in effect")

// inject breaks what u names. The fault is registered first, so that its lease heals whatever comes of it.
func (s *supervisor) inject(ctx context.Context, u fleet.Undo) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("lab ends: %w", err)
	}
	children, data, err := s.targets(u)
	if err != nil {
		return err
	}
	if f := s.fault(u.Fault.ID); f != nil {
		return fmt.Errorf("fault %s is already in effect", u.Fault.ID)
	}
	if err := s.check(u.Fault, data); err != nil {
		return err
	}
	if err := s.clashes(u); err != nil {
		return err
	}
	f := &fault{undo: u, targets: children, halt: func() {}}
	s.mu.Lock()
	s.faults[u.Fault.ID] = f
	s.mu.Unlock()
	s.log.Warn("inject fault", "fault", u.Fault.ID, "kind", u.Fault.Kind, "targets", u.Targets, "lease", u.Fault.Lease)
	f.renew(func() { s.heal(ctx, f) })
	if err := injectors()[u.Fault.Kind].inject(s, ctx, f); err != nil {
		return err
	}
	f.setBroken(true)
	return nil
}

// check reports why the fault cannot be injected now, although it could when it was prepared.
func (s *supervisor) check(f fleet.Fault, data undoData) error {
	var now []Process
	places, err := s.dir.places()
	if err != nil {
		return err
	}
	for _, t := range data.Targets {
		if _, ok := t.place(); ok {
			i := slices.IndexFunc(places, func(p Process) bool { return p.ID == t.ID })
			if i < 0 {
				return fmt.Errorf("fault %s: the lab has no location %q any more", f.ID, t.ID)
			}
			now = append(now, places[i])
			continue
		}
		p := s.process(s.children[t.ID])
		if p.Running && (identity{PID: p.PID, Start: p.Start}) != t.identity {
			return fmt.Errorf("fault %s: %s is no longer process %d", f.ID, t.ID, t.PID)
		}
		now = append(now, p)
	}
	return s.topology.checkFault(f, now)
}

func (s *supervisor) fault(id string) *fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[id]
}

// revert ends the fault. The error wraps errUnknownFault if it is not in effect.
func (s *supervisor) revert(ctx context.Context, id string) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("revert fault %s: lab ends: %w", id, err)
	}
	f := s.fault(id)
	if f == nil {
		return fmt.Errorf("revert fault %s: %w", id, errUnknownFault)
	}
	f.setBroken(false)
	if err := injectors()[f.undo.Fault.Kind].revert(s, ctx, f); err != nil {
		err = fmt.Errorf("revert fault %s: %w", id, err)
		f.fail(err)
		return err
	}
	f.stop()
	s.mu.Lock()
	delete(s.faults, id)
	s.mu.Unlock()
	s.log.Info("fault reverted", "fault", id)
	return nil
}

// renew extends the lease of the fault. It fails if the fault has ended although nobody reverted it: what a drill measured from
// then on, it measured without it.
func (s *supervisor) renew(ctx context.Context, id string) error {
	f := s.fault(id)
	if f == nil {
		return fmt.Errorf("renew fault %s: %w", id, errUnknownFault)
	}
	if err := f.still(); err != nil {
		return fmt.Errorf("renew fault %s: %w", id, err)
	}
	if renew := injectors()[f.undo.Fault.Kind].renew; renew != nil {
		if err := renew(s, ctx, f); err != nil {
			return fmt.Errorf("renew fault %s: %w", id, err)
		}
	}
	f.renew(func() { s.heal(ctx, f) })
	return nil
}

// heal reverts a fault whose lease ran out, and tries until it succeeds or the lab ends.
func (s *supervisor) heal(ctx context.Context, f *fault) {
	id := f.undo.Fault.ID
	if !f.expired() || ctx.Err() != nil || s.fault(id) != f { // reverted, and perhaps another one has the id by now
		return
	}
	s.log.Warn("lease of fault ran out", "fault", id)
	err := s.revert(ctx, id)
	if err == nil || errors.Is(err, errUnknownFault) || ctx.Err() != nil {
		return
	}
	s.log.Error("heal fault", "fault", id, "error", err)
	f.again(healAgain, func() { s.heal(ctx, f) })
}

// healAgain is the time between attempts to heal a fault.
const healAgain = 250 * time.Millisecond

func (f *fault) renew(heal func()) {
	f.mu.Lock()
	f.until = time.Now().Add(f.undo.Fault.Lease)
	f.mu.Unlock()
	f.again(f.undo.Fault.Lease, heal)
}

func (f *fault) setBroken(broken bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broken = broken
}

// still reports how the fault has ended by itself. One that is being injected or reverted has not.
func (f *fault) still() error {
	still := injectors()[f.undo.Fault.Kind].still
	f.mu.Lock()
	broken := f.broken
	f.mu.Unlock()
	if still == nil || !broken {
		return nil
	}
	err := still(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.broken { // it was reverted meanwhile: that is what was seen
		return nil
	}
	return err
}

func (f *fault) again(after time.Duration, heal func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.expires != nil {
		f.expires.Stop()
	}
	f.expires = time.AfterFunc(after, heal)
}

func (f *fault) expired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !time.Now().Before(f.until)
}

func (f *fault) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expires.Stop()
}

func (f *fault) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.problem = err.Error()
}

func (f *fault) status() FaultStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return FaultStatus{
		Fault: f.undo.Fault, Targets: f.undo.Targets, Left: max(0, time.Until(f.until).Seconds()), Problem: f.problem,
	}
}
