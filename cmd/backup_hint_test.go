package cmd

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/s3"
)

// TestStoreHints: whoever reads that a store refuses also reads what to do.
func TestStoreHints(t *testing.T) {
	for cause, want := range map[error]string{
		s3.ErrCredentials: "?profile=NAME", s3.ErrClock: "clock", s3.ErrDenied: "rights", errors.New("no answer"): "",
	} {
		hint := awayHint([]backup.Problem{{}, {Err: fmt.Errorf("put: %w", cause)}})
		if !strings.Contains(hint, want) || (hint == "") != (want == "") {
			t.Errorf("hint for %v: %q", cause, hint)
		}
	}
}
