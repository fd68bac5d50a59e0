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

// Memory is a fleet that breaks nothing but behaves as if: for tests of what uses a fleet. Its faults are fleet.Kill, which stops
// the targets, fleet.Pause and fleet.Latency, of which only the fleet knows. It fails on demand.
type Memory struct {
	mu        sync.Mutex
	instances []fleet.Instance
	faults    map[string]*memoryFault
	failing   map[Call]*failure
	reverted  []string // in their order
}

// Call is a call of a Fleet that can be made to fail.
type Call string

// The calls that Memory.Fail knows.
const (
	InjectCall Call = "inject" // after which the fault is in effect all the same
	VerifyCall Call = "verify"
	RenewCall  Call = "renew"
	RevertCall Call = "revert" // after which the fault is still in effect
)

type failure struct {
	left int // times; negative is for ever
	err  error
}

type memoryFault struct {
	undo    fleet.Undo
	expires *time.Timer
}

const memoryDriver = "memory"

var _ fleet.Fleet = (*Memory)(nil)

// NewMemory returns a fleet of the given instances, all of which run.
func NewMemory(instances ...fleet.Instance) *Memory {
	m := &Memory{instances: slices.Clone(instances), faults: map[string]*memoryFault{}, failing: map[Call]*failure{}}
	for i := range m.instances {
		m.instances[i].Running = true
	}
	return m
}

// Fail makes the next calls fail with err, so many times; a negative number is for ever.
func (m *Memory) Fail(call Call, times int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failing[call] = &failure{times, err}
}

// fails returns what the call is to fail with; the caller holds the mutex.
func (m *Memory) fails(call Call) error {
	f := m.failing[call]
	if f == nil || f.left == 0 {
		return nil
	}
	f.left--
	return f.err
}

// Reverted returns the ids of the faults that were reverted, or healed by themselves, in that order.
func (m *Memory) Reverted() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.reverted)
}

// Instances lists the instances in the order given to NewMemory.
func (m *Memory) Instances(context.Context) ([]fleet.Instance, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.instances), nil
}

// Prepare refuses the kinds of fault that Memory has not.
func (m *Memory) Prepare(_ context.Context, f fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	if !slices.Contains([]fleet.FaultKind{fleet.Kill, fleet.Pause, fleet.Latency}, f.Kind) {
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

// Inject breaks the targets.
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
	m.faults[id] = &memoryFault{u, time.AfterFunc(u.Fault.Lease, func() { m.lapse(id) })}
	m.settle()
	return m.fails(InjectCall)
}

// Verify looks whether the fault is in effect.
func (m *Memory) Verify(_ context.Context, u fleet.Undo) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fails(VerifyCall); err != nil {
		return "", err
	}
	for _, id := range u.Targets {
		if in := m.find(id); u.Fault.Kind == fleet.Kill && in != nil && in.Running {
			return "", fmt.Errorf("%s still runs", id)
		}
	}
	if u.Fault.Kind != fleet.Kill && m.faults[u.Fault.ID] == nil {
		return "", fmt.Errorf("%v are well", u.Targets)
	}
	return fmt.Sprintf("%s: %v", u.Fault.Kind, u.Targets), nil
}

// Renew extends the lease.
func (m *Memory) Renew(_ context.Context, u fleet.Undo) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fails(RenewCall); err != nil {
		return err
	}
	f := m.faults[u.Fault.ID]
	if f == nil {
		return fmt.Errorf("fault %s is not in effect", u.Fault.ID)
	}
	f.expires.Reset(u.Fault.Lease)
	return nil
}

// Revert makes the targets well again.
func (m *Memory) Revert(_ context.Context, u fleet.Undo) error {
	if err := checkDriver(u); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.fails(RevertCall); err != nil {
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

// lapse heals a fault whose lease has run out.
func (m *Memory) lapse(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heal(id)
}

// heal ends a fault; the caller holds the mutex.
func (m *Memory) heal(id string) {
	if f := m.faults[id]; f != nil {
		f.expires.Stop()
		delete(m.faults, id)
		m.reverted = append(m.reverted, id)
		m.settle()
	}
}

// settle makes those instances run that nothing in effect has killed; the caller holds the mutex.
func (m *Memory) settle() {
	for i := range m.instances {
		m.instances[i].Running = true
	}
	for _, f := range m.faults {
		for _, id := range f.undo.Targets {
			if in := m.find(id); in != nil && f.undo.Fault.Kind == fleet.Kill {
				in.Running = false
			}
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
