//go:build !linux

package host

import (
	"context"
	"errors"

	"gwdr/fleet/proc"
)

func supported() error {
	return errors.New("it takes Linux, where a process is told from a later one with its pid")
}

func touchable(proc.ID, string) error { return supported() }

func tree(proc.ID) []proc.ID { return nil }

func session(int) []proc.ID { return nil }

func freeze(context.Context, proc.ID) ([]proc.ID, error) { return nil, supported() }
