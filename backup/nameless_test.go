package backup

import (
	"io"
	"os"
	"testing"
)

// A file for what is fetched is nowhere to be found, and holds what is written to it.
func TestNameless(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	for _, f := range []func() (*os.File, error){nameless, unnamed} {
		file, err := f()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt([]byte("pack"), 2); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(io.NewSectionReader(file, 2, 4)); err != nil || string(got) != "pack" {
			t.Errorf("%q, %v", got, err)
		}
		if names, err := os.ReadDir(os.TempDir()); err != nil || len(names) > 0 {
			t.Errorf("%v, %v", names, err)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
}
