package fleettest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"gwdr/fleet"
)

// Memory is a fleet that breaks nothing but behaves as if: for tests of what uses a fleet. Its one fault is fleet.Kill.
type Memory struct {
	mu        sync.Mutex
	instances []fleet.Instance
	faults    map[string]*memoryFault
}

type memoryFault struct {
	undo    fleet.Undo
	expires *time.Timer
}

const memoryDriver = "memory"

var _ fleet.Fleet = (*Memory)(nil)

// NewMemory returns a fleet of the given instances, all of which run.
func NewMemory(instances ...fleet.Instance) *Memory {
	m := &Memory{instances: slices.Clone(instances), faults: map[string]*memoryFault{}}
	for i := range m.instances {
		m.instances[i].Running = true
	}
	return m
}

// Instances lists the instances in the order given to NewMemory.
func (m *Memory) Instances(context.Context) ([]fleet.Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.instances), nil
}

// Prepare refuses every kind of fault but fleet.Kill.
func (m *Memory) Prepare(_ context.Context, f fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	if f.Kind != fleet.Kill {
		return fleet.Undo{}, fmt.Errorf("fault %s: %w", f.Kind, fleet.ErrUnsupported)
	}
	if len(targets) == 0 {
		return fleet.Undo{}, fmt.Errorf("fault %s: %w", f.ID, fleet.ErrNoTarget)
	}
	u := fleet.Undo{Driver: memoryDriver, Fault: f, Data: json.RawMessage("{}")}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, t := range targets {
		if m.find(t.ID) == nil {
			return fleet.Undo{}, fmt.Errorf("fault %s: no instance %q", f.ID, t.ID)
		}
		u.Targets = append(u.Targets, t.ID)
	}
	return u, nil
}

// Inject stops the targets.
func (m *Memory) Inject(_ context.Context, u fleet.Undo) error {
	if err := checkDriver(u); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := u.Fault.ID
	if m.faults[id] != nil {
		return fmt.Errorf("fault %s is already in effect", id)
	}
	m.set(u, false)
	m.faults[id] = &memoryFault{u, time.AfterFunc(u.Fault.Lease, func() { m.heal(id) })}
	return nil
}

// Verify looks whether the targets are stopped.
func (m *Memory) Verify(_ context.Context, u fleet.Undo) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range u.Targets {
		if in := m.find(id); in != nil && in.Running {
			return "", fmt.Errorf("%s still runs", id)
		}
	}
	return fmt.Sprintf("%v do not run", u.Targets), nil
}

// Renew extends the lease.
func (m *Memory) Renew(_ context.Context, u fleet.Undo) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.faults[u.Fault.ID]
	if f == nil {
		return fmt.Errorf("fault %s is not in effect", u.Fault.ID)
	}
	f.expires.Reset(u.Fault.Lease)
	return nil
}

// Revert starts the targets again.
func (m *Memory) Revert(_ context.Context, u fleet.Undo) error {
	if err := checkDriver(u); err != nil {
		return err
	}
	m.heal(u.Fault.ID)
	return nil
}

// Leftovers lists the faults in effect.
func (m *Memory) Leftovers(context.Context) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for id := range m.faults {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}

func (m *Memory) heal(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.faults[id]; f != nil {
		f.expires.Stop()
		delete(m.faults, id)
		m.set(f.undo, true)
	}
}

func (m *Memory) set(u fleet.Undo, running bool) {
	for _, id := range u.Targets {
		if in := m.find(id); in != nil {
			in.Running = running
		}
	}
}

func (m *Memory) find(id string) *fleet.Instance {
	i := slices.IndexFunc(m.instances, func(in fleet.Instance) bool { return in.ID == id })
	if i < 0 {
		return nil
	}
	return &m.instances[i]
}

func checkDriver(u fleet.Undo) error {
	if u.Driver != memoryDriver {
		return fmt.Errorf("undo is for driver %q, not %s", u.Driver, memoryDriver)
	}
	return nil
}
