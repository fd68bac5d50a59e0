//go:build !linux

package command

import "os/exec"

// Start starts cmd. Here priorities are those of processes, and no thread has put itself before others.
func Start(cmd *exec.Cmd) error { return cmd.Start() }
