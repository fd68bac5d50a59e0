package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestThrowawayLeavesNothing: neither one that cannot be started, nor one that ends at once, nor one whose process was killed.
func TestThrowawayLeavesNothing(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	abandoned, held := filepath.Join(tmp, throwawayPrefix+"abandoned"), &Throwaway{dir: filepath.Join(tmp, throwawayPrefix+"held")}
	for _, dir := range []string{abandoned, held.dir, filepath.Join(tmp, "other")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write := os.WriteFile
		if dir == held.dir {
			write = func(string, []byte, os.FileMode) error { return held.claim() }
		}
		if err := write(layout(dir).lock(), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for executable, want := range map[string]string{
		filepath.Join(tmp, "other", "none"): "no such file",
		executablePath():                    "ended by itself (exit status 1)", // it knows no --config
	} {
		if _, err := StartThrowaway(t.Context(), ThrowawayOptions{Executable: executable}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	left, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil || len(left) != 2 || left[0] != held.dir {
		t.Errorf("left: %v, %v", left, err)
	}
	if err := held.Close(); err != nil {
		t.Error(err)
	}
}
