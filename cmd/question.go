package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// errLive says why nobody can be asked although there is a terminal.
var errLive = errors.New("a live view has the terminal: --plain leaves it free")

// question asks at the terminal and returns the line that is typed; a secret is not shown. An interrupt does not wait for
// the line, and leaves the terminal as it was.
func (a *app) question(ctx context.Context, text string, secret bool) (answer string, err error) {
	terminal, ok := a.Stdin.(*os.File)
	if !ok {
		return "", errors.New("standard input is no terminal")
	}
	if a.live {
		return "", errLive
	}
	if secret { // before it is asked for: some are quick, and some are programs
		show, hideErr := hideTyping(int(terminal.Fd()))
		if hideErr != nil {
			return "", fmt.Errorf("hide what is typed: %w", hideErr)
		}
		defer func() {
			err = errors.Join(err, show())
			fmt.Fprintln(a.Stderr) // the one that was typed was not shown
		}()
	}
	fmt.Fprint(a.Stderr, printable(text))
	typed := make(chan struct{})
	var line string
	var readErr error
	go func() {
		defer close(typed)
		line, readErr = readLine(terminal)
	}()
	select {
	case <-typed:
		return line, readErr
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// hideTyping makes the terminal show nothing of what is typed, until show.
func hideTyping(fd int) (show func() error, err error) {
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	state, err := unix.IoctlGetTermios(fd, getTerminal)
	if err != nil {
		return nil, err
	}
	state.Lflag &^= unix.ECHO
	state.Lflag |= unix.ICANON | unix.ISIG
	if err := unix.IoctlSetTermios(fd, setTerminal, state); err != nil {
		return nil, err
	}
	return func() error { return term.Restore(fd, before) }, nil
}

// readLine reads one line and not a byte more: what follows may be the answer to another question.
func readLine(f *os.File) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := f.Read(b)
		if n > 0 && b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r"), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return "", err
		}
	}
}
