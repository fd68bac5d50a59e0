package docker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/reach"
)

// leastCPUs is the least that an engine gives a container.
const leastCPUs = 0.01

// prepareSlow works out the limit: a share of what the container may use, or of all CPUs where it has no limit. A limit in
// quota and period is kept in them: an engine takes no other, and takes one away only there.
func prepareSlow(f *Fleet, fault fleet.Fault, c container, t *target) error {
	may := t.CPU.cpus()
	if may == 0 {
		may = float64(f.cpus)
	}
	left := may * fault.With.Share
	if left < leastCPUs {
		return fmt.Errorf("a share of %v of %v CPUs is less than %v, the least that an engine gives: %w", fault.With.Share, may, leastCPUs, fleet.ErrUnsupported)
	}
	if t.CPU.NanoCPUs > 0 {
		t.Slowed = cpuLimit{NanoCPUs: int64(math.Round(left * 1e9))}
		return nil
	}
	t.Slowed = cpuLimit{Period: t.CPU.Period}
	if t.Slowed.Period <= 0 {
		t.Slowed.Period = defaultPeriod
	}
	t.Slowed.Quota = max(int64(math.Round(left*float64(t.Slowed.Period))), 1000) // the kernel's least
	return nil
}

func (f *Fleet) slowDown(ctx context.Context, t target) error { return f.limit(ctx, t, t.Slowed) }

// speedUp sets the old limit; none is a quota of -1.
func (f *Fleet) speedUp(ctx context.Context, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil || isUnslowed(c, t) == nil {
		return err
	}
	old := t.CPU
	if old.cpus() == 0 {
		old = cpuLimit{Quota: -1}
	}
	return f.limit(ctx, t, old)
}

func (f *Fleet) limit(ctx context.Context, t target, l cpuLimit) error {
	if err := f.engine.act(ctx, t.ID, "update", l); err != nil {
		return fmt.Errorf("limit CPU of %s: %w", t.Name, err)
	}
	return nil
}

func isSlowed(c container, t target) error {
	if c.HostConfig.cpus() != t.Slowed.cpus() {
		return fmt.Errorf("its limit is %v CPUs, not %v", c.HostConfig.cpus(), t.Slowed.cpus())
	}
	if !c.State.Running {
		return errors.New("it does not run")
	}
	return nil
}

func isUnslowed(c container, t target) error {
	if c.HostConfig.cpus() != t.CPU.cpus() {
		return fmt.Errorf("its limit is %v CPUs, it was %v", c.HostConfig.cpus(), t.CPU.cpus())
	}
	return nil
}

// throttling is how often the kernel has looked whether the container used up its share.
func (e *engine) throttling(ctx context.Context, id string) (periods int64, err error) {
	var stats struct {
		CPU struct {
			Throttling struct{ Periods int64 } `json:"throttling_data"`
		} `json:"cpu_stats"`
	}
	err = e.call(ctx, http.MethodGet, "/containers/"+url.PathEscape(id)+"/stats?stream=false&one-shot=true", nil, &stats)
	return stats.CPU.Throttling.Periods, err
}

// lookThrottled reads the kernel's count of periods: it goes up only while a limit is in force and something runs, which the
// container is asked to.
func (f *Fleet) lookThrottled(ctx context.Context, t target) (string, error) {
	before, err := f.engine.throttling(ctx, t.ID)
	if err != nil {
		return "", err
	}
	for began := time.Now(); time.Since(began) < lookFor && ctx.Err() == nil; {
		reach.Answering(ctx, t.Answers)
		now, err := f.engine.throttling(ctx, t.ID)
		if err != nil {
			return "", err
		}
		if now > before {
			return fmt.Sprintf("the kernel holds it to %v CPUs", t.Slowed.cpus()), nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return "", errors.New("the kernel counts no periods in which its CPU is limited, or nothing ran in it")
}
