package cmd

import (
	"strings"
	"testing"
)

// A request whose line is lost is served, and somebody hears of the loss.
func TestServeOnAFullDiskForTheAccessLog(t *testing.T) {
	s := serveUntilEnd(t, t.TempDir(), "--access-log", "/dev/full")
	s.status("/none")
	eventuallyServed(t, "error in the log", func() bool {
		text := s.stderr.String()
		return strings.Contains(text, "level=ERROR") && strings.Contains(text, "file=/dev/full") && strings.Contains(text, "no space left on device")
	})
	if _, text := s.ask("GET", "/metrics", ""); !strings.Contains(text, "gwdr_access_log_lost_total 1") {
		t.Errorf("metrics: %s", text)
	}
}
