package drills

import (
	"context"
	"errors"
	"sync"
	"time"

	"gwdr/scenarios"
)

// course is how the steps of a plan go: each when its turn comes, several at the same time. What fails ends all of it.
type course struct {
	*drill
	first   *event            // the first injector is called
	over    map[string]*event // by step and by injection: recovered, or proven to be reverted
	begin   chan struct{}     // has one place: one injection is prepared, recorded and held against what is healthy after the other
	running sync.WaitGroup
	fail    context.CancelCauseFunc

	mu      sync.Mutex
	left    map[string]int // by step: injections that are not over
	busy    map[Phase]int  // what is being done
	undone  int            // injections and recoveries that are not done with
	waiting []string       // recovery steps that have not begun
}

// event happens once.
type event struct {
	done chan struct{}
	at   time.Duration // once done is closed
}

func newEvent() *event { return &event{done: make(chan struct{})} }

func (e *event) happen(at time.Duration) {
	e.at = at
	close(e.done)
}

// wait returns when it happened.
func (e *event) wait(ctx context.Context) (time.Duration, error) {
	select {
	case <-e.done:
		return e.at, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func newCourse(d *drill) *course {
	c := &course{drill: d, first: newEvent(), over: map[string]*event{}, begin: make(chan struct{}, 1), left: map[string]int{}, busy: map[Phase]int{}}
	for _, a := range d.plan.Actions {
		c.over[a.Step.ID] = newEvent()
		if a.Step.Recover != "" {
			c.undone++
			c.waiting = append(c.waiting, a.Step.ID)
		}
	}
	for _, in := range d.plan.Injections {
		c.undone++
		c.left[in.Step]++
		if in.ID != in.Step {
			c.over[in.ID] = newEvent()
		}
	}
	return c
}

// run returns once every fault that is to end with the recovery is in effect, every other has been injected and reverted, and
// every recovery is done. The error is the first one, and nothing runs any more.
func (c *course) run(ctx context.Context) error {
	ctx, c.fail = context.WithCancelCause(ctx)
	defer c.fail(nil)
	for _, in := range c.plan.Injections {
		c.do(func() error { return c.inject(ctx, in) })
	}
	for _, a := range c.plan.Actions {
		if a.Step.Recover != "" {
			c.do(func() error { return c.recover(ctx, a.Step) })
		}
	}
	c.running.Wait()
	return context.Cause(ctx)
}

func (c *course) do(what func() error) {
	c.running.Go(func() {
		if err := what(); err != nil {
			c.fail(err)
		}
	})
}

// awaitStart waits for all that something comes after, and its delay.
func (c *course) awaitStart(ctx context.Context, s scenarios.Start) error {
	if s.Behind != "" {
		if _, err := c.over[s.Behind].wait(ctx); err != nil {
			return err
		}
	}
	from := c.first
	switch {
	case s.After != "":
		from = c.over[s.After]
	case s.Delay == 0 && !s.Detected:
		return context.Cause(ctx) // it is the first one, or goes along with it
	}
	at, err := from.wait(ctx)
	if err != nil {
		return err
	}
	return sleep(ctx, at+s.Delay-c.offset())
}

// ended says that an injection has been reverted.
func (c *course) ended(in scenarios.Injection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.ID != in.Step {
		c.over[in.ID].happen(c.offset())
	}
	if c.left[in.Step]--; c.left[in.Step] == 0 {
		c.over[in.Step].happen(c.offset())
	}
}

// starts enters the phase of something that begins.
func (c *course) starts(p Phase, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, step := range c.waiting {
		if step == id {
			c.waiting = append(c.waiting[:i:i], c.waiting[i+1:]...)
			break
		}
	}
	c.busy[p]++
	return c.enter(p, id)
}

// stops leaves the phase of something that has ended for that of what goes on.
func (c *course) stops(p Phase) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[p]--
	for _, other := range []Phase{Injecting, Recovering} {
		if c.busy[other] > 0 {
			if other == p {
				return nil
			}
			return c.enter(other, "")
		}
	}
	switch {
	case c.undone == 0:
		return nil // the drill goes on to observe by itself
	case len(c.waiting) > 0:
		return c.enter(Observing, "until "+c.waiting[0])
	}
	return c.enter(Observing, "")
}

// finished counts down what is to be done.
func (c *course) finished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undone--
}

// recover does what an operator would: when its turn has come and the outage is seen, or after a delay, and again until it
// succeeds.
func (c *course) recover(ctx context.Context, step scenarios.Step) error {
	if _, err := c.first.wait(ctx); err != nil { // nothing is to be recovered from before
		return err
	}
	start := c.Scenario.Recovery(step)
	if err := c.awaitStart(ctx, start); err != nil {
		return err
	}
	if start.Detected {
		if err := c.awaitOutage(ctx, step); err != nil {
			return err
		}
	}
	fact := StepFact{ID: step.ID, Action: step.Recover, To: step.To}
	if err := errors.Join(c.starts(Recovering, step.ID), c.noteStep(fact)); err != nil {
		return err
	}
	for {
		err := c.recoverOnce(ctx, step)
		if err == nil {
			fact.Done, fact.Error = true, ""
			c.finished()
			err = errors.Join(c.noteStep(fact), c.stops(Recovering))
			c.over[step.ID].happen(c.offset())
			return err
		}
		if text := err.Error(); text != fact.Error { // the same failure again says nothing
			fact.Error = text
			c.noteStep(fact)
		}
		if err := sleep(ctx, recoverPause); err != nil {
			return err
		}
	}
}
