package cmd

import "golang.org/x/sys/unix"

// What reads the state of a terminal, and what sets it and drops what was typed before.
const (
	getTerminal = unix.TCGETS
	setTerminal = unix.TCSETSF
)
