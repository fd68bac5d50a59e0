package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/mark"
	"gwdr/fleet/proc"
	"gwdr/fleet/reach"
)

const answerFor = 5 * time.Second // how long a process that was reverted may take until it answers

// injector is how one kind of fault is done to one target.
type injector struct {
	// inject breaks the target. It notes all processes that it touches, before it ends any.
	inject func(ctx context.Context, fault string, t target, note noting) error
	// broken returns what a look at the processes says, or the error that says what is still well.
	broken func(ctx context.Context, t target, touched []proc.ID) (string, error)
}

func injectors() map[fleet.FaultKind]injector {
	return map[fleet.FaultKind]injector{
		fleet.Pause: {pause, stillStopped},
		fleet.Kill:  {kill, stillGone},
		fleet.Stop:  {stop, stillGone},
	}
}

func kindWords() string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(injectors())) {
		words = append(words, string(kind))
	}
	return strings.Join(words, ", ")
}

// Inject breaks the targets. A mark comes first: it says what is in effect.
func (f *Fleet) Inject(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err == nil && !f.options.Allow {
		err = fleet.ErrNotAllowed
	}
	if err == nil {
		err = f.inject(ctx, u, data)
	}
	if err != nil {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, err)
	}
	return nil
}

func (f *Fleet) inject(ctx context.Context, u fleet.Undo, data undoData) error {
	for _, t := range data.Targets {
		if now, err := t.Service.main(ctx); err != nil || now != t.Main {
			return errors.Join(fmt.Errorf("%s is no longer process %d", t.Name, t.Main.PID), err)
		}
	}
	unlock, err := data.marks().Lock(ctx, f.options.Log)
	if err != nil {
		return err
	}
	defer unlock()
	if err := f.alone(u, data); err != nil {
		return err
	}
	if err := data.marks().Put(u); err != nil {
		return err
	}
	all := &traces{of: map[string]trace{}}
	for _, t := range data.Targets {
		if err := injectors()[u.Fault.Kind].inject(ctx, u.Fault.ID, t, all.noting(u, data, t)); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	return nil
}

// alone refuses a fault of a process that another fault is in effect in: each would take the other's traces for its own.
func (f *Fleet) alone(u fleet.Undo, data undoData) error {
	marked, err := data.marks().All()
	if err != nil {
		return err
	}
	for _, m := range marked {
		for _, name := range m.Undo.Targets {
			if m.Undo.Fault.ID != u.Fault.ID && slices.Contains(u.Targets, name) {
				return fmt.Errorf("fault %s is in effect in %s", m.Undo.Fault.ID, name)
			}
		}
	}
	return nil
}

// Verify looks at the processes, and whether anything answers where the targets did.
func (f *Fleet) Verify(ctx context.Context, u fleet.Undo) (string, error) {
	seen, data, err := f.look(ctx, u)
	if err != nil {
		return "", fmt.Errorf("verify fault %s: %w", u.Fault.ID, err)
	}
	if urls := data.urls(); len(urls) > 0 {
		if at := reach.Answering(ctx, urls); len(at) > 0 {
			return "", fmt.Errorf("verify fault %s: there is still an answer at %s", u.Fault.ID, strings.Join(at, " and "))
		} else if ctx.Err() != nil { // nobody waited for one
			return "", fmt.Errorf("verify fault %s: %w", u.Fault.ID, ctx.Err())
		}
		seen += "; no answer at " + strings.Join(urls, " and ")
	}
	return seen, nil
}

// look sees that each target is broken.
func (f *Fleet) look(ctx context.Context, u fleet.Undo) (string, undoData, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return "", data, err
	}
	m, err := data.marks().Get(u)
	if err != nil {
		return "", data, err
	}
	all, err := tracesIn(m)
	if err != nil {
		return "", data, err
	}
	var seen []string
	for _, t := range data.Targets {
		what, err := injectors()[u.Fault.Kind].broken(ctx, t, all.of[t.Name].Touched)
		if err != nil {
			return "", data, fmt.Errorf("%s: %w", t.Name, err)
		}
		seen = append(seen, t.Name+": "+what)
	}
	return strings.Join(seen, "; "), data, nil
}

func (d undoData) urls() (all []string) {
	for _, t := range d.Targets {
		if t.Answers != "" {
			all = append(all, t.Answers)
		}
	}
	return all
}

// Renew shows that the fault is still in effect. Who ends it when nobody renews is the guard.
func (f *Fleet) Renew(ctx context.Context, u fleet.Undo) error {
	if _, _, err := f.look(ctx, u); err != nil {
		return fmt.Errorf("renew fault %s: %w", u.Fault.ID, err)
	}
	return nil
}

// pause stops the whole tree.
func pause(ctx context.Context, _ string, t target, note noting) error {
	all, err := freeze(ctx, t.Main)
	return errors.Join(err, note(trace{Touched: all}))
}

// kill ends the whole tree at once: it is stopped before, so that nobody in it sees another's end, or begets one that is not known.
func kill(ctx context.Context, fault string, t target, note noting) error {
	if err := t.Service.holdDown(ctx, fault); err != nil {
		return err
	}
	all, err := freeze(ctx, t.Main)
	if err := errors.Join(err, note(trace{Touched: all})); err != nil {
		return err
	}
	return end(all)
}

func end(all []proc.ID) error {
	var errs []error
	for _, id := range all {
		errs = append(errs, id.Signal(syscall.SIGKILL)) // all, before anybody is waited for
	}
	for _, id := range all {
		errs = append(errs, id.Kill())
	}
	return errors.Join(errs...)
}

// stop asks the target to end, and ends what has not done so in time.
func stop(ctx context.Context, _ string, t target, note noting) error {
	all := tree(t.Main)
	if err := note(trace{Touched: all, Asked: true}); err != nil {
		return err
	}
	ask := func() error { return t.Main.Signal(syscall.SIGTERM) }
	if t.Service.Unit != "" {
		ask = func() error {
			_, err := t.Service.systemctl(ctx, "stop", "--no-block", t.Service.Unit)
			return err
		}
	}
	if err := ask(); err != nil {
		return errors.Join(err, note(trace{Touched: all})) // nobody need wait for its end
	}
	return outlast(ctx, all)
}

// outlast waits for the end of processes that were asked to end, and ends what has not done so in time.
func outlast(ctx context.Context, all []proc.ID) error {
	for deadline := time.Now().Add(stopLimit); slices.ContainsFunc(all, proc.ID.Alive) && time.Now().Before(deadline); time.Sleep(lookAgain) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return end(all)
}

func stillStopped(_ context.Context, t target, _ []proc.ID) (string, error) {
	all := tree(t.Main)
	for _, id := range all {
		if !id.Stopped() {
			return "", fmt.Errorf("process %d is not stopped", id.PID)
		}
	}
	if len(all) == 0 {
		return "", fmt.Errorf("process %d has ended", t.Main.PID)
	}
	return fmt.Sprintf("all %d processes of it are stopped", len(all)), nil
}

func stillGone(ctx context.Context, t target, was []proc.ID) (string, error) {
	for _, id := range append([]proc.ID{t.Main}, was...) {
		if id.Alive() {
			return "", fmt.Errorf("process %d is there", id.PID)
		}
	}
	now, err := t.Service.again(ctx, t.Main)
	switch {
	case err == nil:
		return "", fmt.Errorf("it runs again, as process %d", now.PID)
	case !errors.Is(err, errNotRunning):
		return "", err
	}
	return fmt.Sprintf("all %d processes of it are gone", len(was)), nil
}

// Revert lets go on what is stopped, and starts what does not run. It needs no mark, but leaves alone what another preparation with the
// fault's id has broken.
func (f *Fleet) Revert(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err == nil {
		err = f.revert(ctx, u, data)
	}
	if err != nil {
		return fmt.Errorf("revert fault %s: %w", u.Fault.ID, err)
	}
	return nil
}

func (f *Fleet) revert(ctx context.Context, u fleet.Undo, data undoData) error {
	unlock, err := data.marks().Lock(ctx, f.options.Log)
	if err != nil {
		return err
	}
	defer unlock()
	m, err := data.marks().Get(u)
	if errors.Is(err, mark.ErrGone) && data.marks().Has(u.Fault.ID) {
		return nil // another preparation's
	} else if err != nil && !errors.Is(err, mark.ErrGone) {
		return err
	}
	all, err := tracesIn(m)
	if err != nil {
		return err
	}
	failed := make([]error, len(data.Targets))
	var mended sync.WaitGroup
	for i, t := range data.Targets { // at the same time: one that does not come back holds back no other
		found, note := all.of[t.Name], all.noting(u, data, t)
		mended.Go(func() {
			if err := f.mend(ctx, u.Fault, t, found, note); err != nil {
				failed[i] = fmt.Errorf("%s: %w", t.Name, err)
			}
		})
	}
	mended.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	if silent := reach.Silent(ctx, data.urls(), answerFor); len(silent) > 0 {
		f.options.Log.Warn("does not answer yet", "url", strings.Join(silent, " "))
	}
	return data.marks().Remove(u)
}

// mend makes one target as it was: the very processes go on, or the service is started again where its main one has ended.
func (f *Fleet) mend(ctx context.Context, fault fleet.Fault, t target, found trace, note noting) error {
	was := found.Touched
	if err := t.Service.release(ctx, fault.ID); err != nil {
		return err
	}
	if found.Asked { // it may be about to end
		if err := outlast(ctx, was); err != nil {
			return err
		}
	}
	if t.Main.Alive() {
		return thaw(ctx, t, was)
	}
	if err := end(slices.DeleteFunc(was, func(id proc.ID) bool { return !id.Stopped() })); err != nil { // what is left of it holds its ports
		return err
	}
	if fault.Kind == fleet.Stop && t.Service.Unit != "" { // what runs by now may be about to be stopped by systemd: a start comes instead
		return f.begin(ctx, t, found, note)
	}
	look := t.Service.again
	if fault.Kind == fleet.Pause { // whoever ended it was not gwdr: what is there now is what somebody has started
		look = func(ctx context.Context, _ proc.ID) (proc.ID, error) { return t.Service.main(ctx) }
	}
	if now, err := look(ctx, t.Main); err == nil {
		if fault.Kind == fleet.Pause {
			f.options.Log.Warn("it is another process by now", "process", t.Name, "pid", now.PID)
		}
		return nil
	} else if !errors.Is(err, errNotRunning) {
		return err
	}
	if err := t.Service.startable(); err != nil {
		return fmt.Errorf("process %d has ended meanwhile: %w", t.Main.PID, err)
	}
	return f.begin(ctx, t, found, note)
}

// thaw lets every process of the target go on that is stopped, until none is.
func thaw(ctx context.Context, t target, was []proc.ID) error {
	ctx, cancel := context.WithTimeoutCause(ctx, proc.KillTimeout, errors.New("it is stopped again and again"))
	defer cancel()
	for {
		still := 0
		for _, id := range append(tree(t.Main), was...) {
			if id.Stopped() {
				still++
				if err := id.Signal(syscall.SIGCONT); err != nil {
					return err
				}
			}
		}
		if still == 0 {
			return nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Reopen returns the fleet that the undo record was made by, as it was then: what the configuration says by now has no say.
func Reopen(u fleet.Undo, log *slog.Logger) (*Fleet, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return nil, err
	}
	f := &Fleet{options: Options{Processes: map[string]Process{}, Allow: true, State: data.State, Log: log}, services: map[string]service{}}
	for _, t := range data.Targets {
		f.services[t.Name] = t.Service
		f.options.Processes[t.Name] = Process{URL: t.Answers}
	}
	return f, nil
}
