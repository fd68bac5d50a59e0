package tui

import (
	"fmt"
	"slices"
	"strings"

	"gwdr/fleet"
)

// LeftError says that a person left the screen while the drill went on.
type LeftError struct {
	InEffect []string // ids of the faults that are not reverted yet
	Broken   bool     // something was injected
	Again    bool     // they pressed ctrl-c a second time: they do not want to wait
}

// Error tells that person what happens now, and what the next ctrl-c does.
func (e *LeftError) Error() string {
	switch {
	case len(e.InEffect) > 0:
		return fmt.Sprintf("aborting: reverting %s; ctrl-c again leaves it to the guard", strings.Join(e.InEffect, ", "))
	case e.Broken:
		return "all faults are reverted: the drill goes on to its report; ctrl-c again ends gwdr without one"
	}
	return "aborting: nothing was injected; ctrl-c again ends gwdr at once"
}

// inEffect lists the faults that were injected and are not reverted.
func (s *state) inEffect() []string {
	var ids []string
	for _, f := range s.faults {
		if f.held() {
			ids = append(ids, oneLine(f.id))
		}
	}
	return ids
}

func (f fault) held() bool { return f.what != "reverted" }

// ending reports whether there is nothing to abort any more: the drill is aborted already, or reverts by itself.
func (s *state) ending() bool { return s.aborting || s.reverting > 0 || s.result != nil }

// restored reports whether the instance lost its store to a fault that is still held, and got its content back since.
func (s *state) restored(instance string) bool {
	lost := slices.ContainsFunc(s.faults, func(f fault) bool {
		return f.held() && f.kind == string(fleet.StoreWipe) && slices.Contains(f.targets, instance)
	})
	return lost && slices.ContainsFunc(s.steps, func(t step) bool { return t.action == "restore" && t.done && t.err == nil })
}
