package process

import (
	"errors"
	"fmt"
	"io/fs"

	"gwdr/fleet"
)

// room is not to be had.
type room struct {
	spawn  spawner
	closed bool
}

var errNoRoom = errors.New("a disk of its own for one process is to be had on Linux only")

func refuseFull(fleet.Fault) error { return fmt.Errorf("%w: %w", fleet.ErrUnsupported, errNoRoom) }

func openRoom() (*room, error)              { return nil, errNoRoom }
func (*room) close()                        {}
func (*room) move(string) error             { return errNoRoom }
func (*room) squeeze(string) error          { return errNoRoom }
func (*room) shrink(string) error           { return errNoRoom }
func (*room) save(_, _ string) error        { return errNoRoom }
func noRoom(string) error                   { return errNoRoom }
func mountedBy(int, string) (string, error) { return "", fs.ErrNotExist }
