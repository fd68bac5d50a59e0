package cmd

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestWhatIsLeftBehindIsTold, whatever the result says: the objects are on somebody's gateway.
func TestWhatIsLeftBehindIsTold(t *testing.T) {
	left := withHint(errors.New("take away what the ledger made: connection refused"), "delete routes whose ids begin with ledger-0a1b2c-")
	for _, c := range []struct {
		end  error
		code int
	}{{nil, exitError}, {exitWith(exitMissed, nil), exitMissed}, {exitWith(exitInconclusive, nil), exitInconclusive}, {errors.New("disk full"), exitError}} {
		var said strings.Builder
		a := &app{Stderr: &said, Log: slog.New(slog.DiscardHandler)}
		if code := a.fail(t.Context(), besideResult(c.end, left)); code != c.code || !strings.Contains(said.String(), "hint: delete routes") {
			t.Errorf("%v: code %d, and said %q", c.end, code, said.String())
		}
		if besideResult(c.end, nil) != nil && c.end == nil {
			t.Error("an error without one")
		}
	}
}
