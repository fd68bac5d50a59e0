//go:build !linux

package cmd

// raisePriority does nothing: other systems are not the home of drills.
func raisePriority() error { return nil }

// lowerPriority does nothing here: nothing was raised.
func lowerPriority() error { return nil }
