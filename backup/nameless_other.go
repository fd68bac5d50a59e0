//go:build !linux

package backup

import "os"

// nameless makes a file among the temporary ones that has no name.
func nameless() (*os.File, error) { return unnamed() }
