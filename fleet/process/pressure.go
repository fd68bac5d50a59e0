package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"gwdr/fleet"
)

// perCPU is how many processes of a fault may compete for each CPU of the machine.
const perCPU = 8

// leastMemory is the least that a process holds under pressure of memory.
const leastMemory = 16 << 20

// pressers is how many processes the fault has.
func pressers(f fleet.Fault) int {
	switch {
	case f.Kind == fleet.MemoryPressure:
		return 1
	case f.With.Count == 0:
		return runtime.NumCPU()
	}
	return int(f.With.Count)
}

func refuseCPU(f fleet.Fault) error {
	if _, err := cpuTime(os.Getpid()); err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrUnsupported, err)
	}
	if most := perCPU * runtime.NumCPU(); f.With.Count > int64(most) {
		return fmt.Errorf("count: at most %d processes, %d for each CPU of this machine, not %d", most, perCPU, f.With.Count)
	}
	return nil
}

func refuseMemory(f fleet.Fault) error {
	free, err := freeBytes()
	if err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrUnsupported, err)
	}
	if f.With.Bytes < leastMemory {
		return fmt.Errorf("bytes: at least %d MiB: less cannot be told from what any process has", leastMemory>>20)
	}
	if f.With.Bytes > free/2 {
		return fmt.Errorf("bytes: at most half of the %d MiB of memory that this machine has free, not %d MiB", free>>20, f.With.Bytes>>20)
	}
	return nil
}

// press starts the processes that use up what the targets need. They are beside the targets, not in them: all of the lab is on
// one machine.
func (s *supervisor) press(ctx context.Context, f *fault) error {
	for n := range pressers(f.undo.Fault) {
		c := s.newChild(program{
			Instance: fleet.Instance{ID: presser(f.undo.Fault.ID, n)},
			Args:     []string{"lab", "press", "--bytes", strconv.FormatInt(f.undo.Fault.With.Bytes, 10), "--exit-on-stdin-eof"},
		})
		f.beside = append(f.beside, c)
		if err := c.start(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not so within %s", startTimeout))
	defer cancel()
	for _, c := range f.beside {
		r, _ := c.current()
		if err := poll(ctx, "press with "+c.ID, func() error { return pressing(f.undo.Fault, r.identity) }); err != nil {
			return err
		}
	}
	return nil
}

// presser names the nth process of a fault.
func presser(fault string, n int) string { return fmt.Sprintf("pressure-%s-%d", fault, n+1) }

// pressing reports why the process does not hold what it should.
func pressing(f fleet.Fault, id identity) error {
	if !id.Alive() {
		return fmt.Errorf("process %d has ended", id.PID)
	}
	if has := ownBytes(id.PID); has < f.With.Bytes {
		return fmt.Errorf("process %d holds %d MiB in memory, not %d MiB", id.PID, has>>20, f.With.Bytes>>20)
	}
	return nil
}

// stillPressed reports which process beside the targets does not hold any more what it should.
func stillPressed(f *fault) error {
	for _, c := range f.beside {
		if r, _ := c.current(); !r.running() {
			return fmt.Errorf("%s %s", c.ID, c.died(r))
		}
	}
	return nil
}

// relieve ends the processes, and leaves nothing of them.
func (s *supervisor) relieve(ctx context.Context, f *fault) error {
	for _, c := range f.beside {
		if err := c.kill(ctx); err != nil {
			return err
		}
		if err := errors.Join(os.RemoveAll(s.dir.node(c.ID)), os.RemoveAll(s.dir.log(c.ID))); err != nil {
			return fmt.Errorf("clean up after %s: %w", c.ID, err)
		}
	}
	return s.bringBack(ctx, f) // a target may have been ended for want of memory
}

// lookPressed sees that the processes are there, and how much they hold and use.
func (l *Lab) lookPressed(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	ids := make([]identity, pressers(f))
	for n := range ids {
		if err := readJSON(l.dir.pid(presser(f.ID, n)), &ids[n]); err != nil {
			return "", fmt.Errorf("there is no process %d beside %s: %w", n+1, t.ID, err)
		}
		if err := pressing(f, ids[n]); err != nil {
			return "", fmt.Errorf("beside %s: %w", t.ID, err)
		}
	}
	if f.Kind == fleet.MemoryPressure {
		return fmt.Sprintf("process %d beside it holds %d MiB in memory", ids[0].PID, ownBytes(ids[0].PID)>>20), nil
	}
	used, err := cpuUse(ctx, ids, pressWatch)
	if err != nil {
		return "", fmt.Errorf("beside %s: %w", t.ID, err)
	}
	if used < pressWatch/10 {
		return "", fmt.Errorf("the processes beside %s (%d) used only %s of CPU in %s", t.ID, len(ids), used, pressWatch)
	}
	return fmt.Sprintf("the processes beside it (%d) used %s of CPU in %s", len(ids), used, pressWatch), nil
}

// pressWatch is how long the use of CPU is watched: many of the 10 ms in which the system counts it.
const pressWatch = 300 * time.Millisecond

// cpuUse returns how much CPU time the processes use within d, together.
func cpuUse(ctx context.Context, ids []identity, d time.Duration) (used time.Duration, err error) {
	sum := func() (all time.Duration, err error) {
		for _, id := range ids {
			one, err := cpuTime(id.PID)
			if err != nil || !id.Alive() {
				return 0, fmt.Errorf("process %d is gone: %w", id.PID, err)
			}
			all += one
		}
		return all, nil
	}
	before, err := sum()
	if err != nil {
		return 0, err
	}
	sleep(ctx, d)
	after, err := sum()
	return after - before, err
}
