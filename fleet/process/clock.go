package process

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/proc"
)

// leastOffset is the least by which a clock is set wrong: less cannot be told in a Date header, which has whole seconds.
const leastOffset = 5 * time.Second

func refuseClock(f fleet.Fault) error {
	if f.With.Offset.Abs() < leastOffset {
		return fmt.Errorf("offset: at least %s, fast or slow: less cannot be seen", leastOffset)
	}
	return nil
}

// shift sets the targets' clocks wrong, and waits until all go by that.
func (s *supervisor) shift(ctx context.Context, f *fault) error {
	for _, c := range f.targets {
		if err := writeFile(s.dir.clock(c.ID), []byte(f.undo.Fault.With.Offset.String())); err != nil {
			return err
		}
	}
	return s.awaitClocks(ctx, f, f.undo.Fault.With.Offset)
}

// unshift sets the clocks right, and waits until all go by that.
func (s *supervisor) unshift(ctx context.Context, f *fault) error {
	var errs []error
	for _, c := range f.targets {
		if err := os.Remove(s.dir.clock(c.ID)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("set clocks right: %w", err)
	}
	if err := s.bringBack(ctx, f); err != nil {
		return err
	}
	return s.awaitClocks(ctx, f, 0)
}

func (s *supervisor) awaitClocks(ctx context.Context, f *fault, offset time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, proc.KillTimeout, fmt.Errorf("not so within %s", proc.KillTimeout))
	defer cancel()
	for _, c := range f.targets {
		if err := poll(ctx, "set clock of "+c.ID, func() error { return clockIs(ctx, s.http, c.Listen, offset) }); err != nil {
			return err
		}
	}
	return nil
}

// clockIs returns nil if the Date of a data plane's own answer is wrong by offset.
func clockIs(ctx context.Context, client *http.Client, listen string, offset time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+"/.gwdr/ready", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return fmt.Errorf("read Date of %s: %w", listen, err)
	}
	wrong := time.Until(date)
	if off := wrong - offset; off.Abs() > leastOffset/2 {
		return fmt.Errorf("clock of %s is wrong by %s, not %s", listen, wrong.Round(time.Second), offset)
	}
	return nil
}

// lookClock reads the time that the data plane goes by.
func (l *Lab) lookClock(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	if err := clockIs(ctx, l.http, t.Ports[0], f.With.Offset); err != nil {
		return "", fmt.Errorf("%s: %w", t.ID, err)
	}
	return fmt.Sprintf("Date of its answers is wrong by %s", f.With.Offset), nil
}
