package command

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReplaceableByGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "drill.sh")
	if err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700), os.Chmod(path, 0o770)); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if why := replaceable(info, os.Geteuid()); strings.Contains(why, "everybody") {
		t.Errorf("a file of the group: %s", why)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 0, 12345); err != nil {
			t.Fatal(err)
		}
		if info, err = os.Stat(path); err != nil {
			t.Fatal(err)
		}
		if why := replaceable(info, 0); !strings.Contains(why, "group 12345") {
			t.Errorf("root runs a file of another group: %q", why)
		}
	}
}
