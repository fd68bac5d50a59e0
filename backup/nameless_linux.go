package backup

import (
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes a file among the temporary ones that never has a name, so that it is gone with the process, also if that is killed. Few
// file systems know no such files.
func nameless() (*os.File, error) {
	if f, err := os.OpenFile(os.TempDir(), os.O_RDWR|unix.O_TMPFILE, 0o600); err == nil {
		return f, nil
	}
	return unnamed()
}
