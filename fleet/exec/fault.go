package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/command"
	"gwdr/fleet/reach"
)

// The exit codes of verify and renew, as of grep.
const (
	inEffect    = 0
	notInEffect = 1
)

// between is the time between two looks at a fault: whoever waits for it asks again at once.
const between = 200 * time.Millisecond

// errNotInEffect says that verify has looked, and found the targets well.
var errNotInEffect = errors.New("the command says that the fault is not in effect (exit code 1)")

// Inject runs the command inject. A mark comes first: it says what is in effect, and by whom.
func (f *Fleet) Inject(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err != nil {
		return err
	}
	if !f.options.Allow {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, fleet.ErrNotAllowed)
	}
	if changed := slices.Concat(data.Commands.Inject.Changed(), data.Commands.Revert.Changed()); len(changed) > 0 {
		return fmt.Errorf("inject fault %s: %s is not as when the fault was prepared", u.Fault.ID, changed[0])
	}
	if err := f.inject(ctx, u, data); err != nil {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, err)
	}
	return nil
}

func (f *Fleet) inject(ctx context.Context, u fleet.Undo, data undoData) error {
	unlock, err := data.marks().Lock(ctx, f.options.Log)
	if err != nil {
		return err
	}
	defer unlock()
	if err := data.marks().Put(u); err != nil { // under the lock: who reverts meanwhile would leave nobody to revert what comes after
		return err
	}
	_, err = f.run(ctx, data.Commands, data.Commands.Inject, requestOf("inject", u.Fault, data))
	return errors.Join(err, data.marks().Injected(u, nil))
}

// Verify asks the command verify, and looks itself where a target answered before a fault that silences it.
func (f *Fleet) Verify(ctx context.Context, u fleet.Undo) (string, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return "", err
	}
	said, err := f.look(ctx, "verify", data.Commands.Verify, u.Fault, data)
	if err != nil {
		return "", fmt.Errorf("verify fault %s: %w", u.Fault.ID, err)
	}
	seen := "the command verify says so"
	if line := said.first(); line != "" {
		seen += ": " + line
	}
	if len(data.Answers) > 0 {
		if at := reach.Answering(ctx, data.Answers); len(at) > 0 {
			return "", fmt.Errorf("verify fault %s: the command verify says that it is in effect, but there is still an answer at %s", u.Fault.ID, strings.Join(at, " and "))
		} else if ctx.Err() != nil { // nobody waited for an answer
			return "", fmt.Errorf("verify fault %s: %w", u.Fault.ID, ctx.Err())
		}
		seen += "; no answer at " + strings.Join(data.Answers, " and ")
	}
	return seen, nil
}

// Renew shows that the fault is still in effect: its mark is there, and the command renew, or else verify, says so. Who ends
// it when nobody renews is the guard.
func (f *Fleet) Renew(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err != nil {
		return err
	}
	if _, err := data.marks().Get(u); err != nil {
		return fmt.Errorf("renew fault %s: %w", u.Fault.ID, err)
	}
	word, how := "renew", data.Commands.Renew
	if len(how.Args) == 0 {
		word, how = "verify", data.Commands.Verify
	}
	if _, err := f.look(ctx, word, how, u.Fault, data); err != nil {
		return fmt.Errorf("renew fault %s: %w", u.Fault.ID, err)
	}
	return nil
}

// look runs a command that says by its exit code whether the fault is in effect. It waits between two looks.
func (f *Fleet) look(ctx context.Context, word string, how command.Command, fault fleet.Fault, data undoData) (said, error) {
	f.mu.Lock()
	wait := between - time.Since(f.looked)
	f.mu.Unlock()
	if err := sleep(ctx, wait); err != nil {
		return said{}, err
	}
	s, err := f.run(ctx, data.Commands, how, requestOf(word, fault, data))
	f.mu.Lock()
	f.looked = time.Now()
	f.mu.Unlock()
	if exitCode(err) == notInEffect {
		return s, fmt.Errorf("%w: %w", errNotInEffect, err)
	}
	return s, err
}

// Revert runs the command revert, as it was when the fault was prepared, and returns nil once verify says that the fault is
// not in effect and list says that every target runs.
func (f *Fleet) Revert(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err != nil {
		return err
	}
	unlock, err := data.marks().Lock(ctx, f.options.Log)
	if err != nil {
		return fmt.Errorf("revert fault %s: %w", u.Fault.ID, err)
	}
	defer unlock()
	if err := f.stopInjection(u, data); err != nil {
		return fmt.Errorf("revert fault %s: %w", u.Fault.ID, err)
	}
	for _, path := range slices.Concat(data.Commands.Revert.Changed(), data.Commands.Verify.Changed()) {
		f.options.Log.Warn("a command is not as when the fault was prepared", "fault", u.Fault.ID, "file", path)
	}
	if _, err := f.run(ctx, data.Commands, data.Commands.Revert, requestOf("revert", u.Fault, data)); err != nil {
		return fmt.Errorf("revert fault %s: %w", u.Fault.ID, err)
	}
	if err := f.awaitGone(ctx, u.Fault, data); err != nil {
		return fmt.Errorf("revert fault %s: the command revert has ended well, but %w", u.Fault.ID, err)
	}
	f.awaitAnswers(ctx, data)
	return data.marks().Remove(u)
}

// stopInjection ends what still runs of an injection whose drill was killed: it would break what is reverted now.
func (f *Fleet) stopInjection(u fleet.Undo, data undoData) error {
	m, err := data.marks().Get(u)
	if err != nil || m.Injected {
		return nil // it was not begun, or is over
	}
	n, err := endOf(data.Nonce)
	if n > 0 {
		f.options.Log.Warn("ended what was left of an injection that nobody waits for any more", "fault", u.Fault.ID, "processes", n)
	}
	return err
}

// awaitGone asks until the fault is gone: what was started may take a while.
func (f *Fleet) awaitGone(ctx context.Context, fault fleet.Fault, data undoData) error {
	ctx, cancel := context.WithTimeout(ctx, data.Commands.Timeout)
	defer cancel()
	var last error
	for {
		err := f.gone(ctx, fault, data)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil && last != nil:
			return last // this look was cut off, and tells nothing
		}
		if last = err; sleep(ctx, between) != nil {
			return last
		}
	}
}

// gone returns an error unless both verify and list say so.
func (f *Fleet) gone(ctx context.Context, fault fleet.Fault, data undoData) error {
	switch _, err := f.look(ctx, "verify", data.Commands.Verify, fault, data); {
	case err == nil:
		return errors.New("the command verify says that the fault is still in effect")
	case !errors.Is(err, errNotInEffect):
		return fmt.Errorf("whether the fault is gone is not known: %w", err)
	}
	instances, err := f.list(ctx, data.Commands)
	if err != nil {
		return fmt.Errorf("whether the targets run is not known: %w", err)
	}
	for _, t := range data.Targets {
		i := slices.IndexFunc(instances, func(in fleet.Instance) bool { return in.ID == t.ID })
		switch {
		case i < 0:
			return fmt.Errorf("the command list does not tell of %s any more", t.ID)
		case !instances[i].Running:
			return fmt.Errorf("the command list says that %s does not run", t.ID)
		}
	}
	return nil
}

// sleep returns after d, or with an error when ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
