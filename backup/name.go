package backup

import (
	"fmt"
	"io/fs"
	"strings"
)

// CheckName refuses object names that could lead out of a location or hide in it: a Location takes only names that pass.
func CheckName(name string) error {
	if !fs.ValidPath(name) || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\x00\\") {
		return fmt.Errorf("object name %q is not valid", name)
	}
	return nil
}
