//go:build linux

// Package gateway runs the bundled gateway as its user does: restarts and losses under load, clients that mean no good, and a benchmark
// beside other proxies.
package gateway

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// binary is gwdr, built once.
var binary string

// TestMain makes this test binary the parts of the benchmark, too, which are processes of their own.
func TestMain(m *testing.M) {
	if part := part(os.Args[1:]); part != nil {
		if err := part(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gwdr-gateway-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "gwdr")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gwdr: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
