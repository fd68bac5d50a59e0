package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"
)

// errLive says why nobody can be asked although there is a terminal.
var errLive = errors.New("a live view has the terminal: --plain leaves it free")

// question asks at the terminal and returns the line that is typed; a secret is not shown. An interrupt does not wait for
// the line, and leaves the terminal as it was.
func (a *app) question(ctx context.Context, text string, secret bool) (string, error) {
	terminal, ok := a.Stdin.(*os.File)
	if !ok {
		return "", errors.New("standard input is no terminal")
	}
	if a.live {
		return "", errLive
	}
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read terminal: %w", err)
	}
	read := readLine
	if secret {
		read = func(*os.File) (string, error) {
			line, err := term.ReadPassword(fd)
			fmt.Fprintln(a.Stderr)
			return string(line), err
		}
	}
	fmt.Fprint(a.Stderr, printable(text))
	type typed struct {
		line string
		err  error
	}
	done := make(chan typed, 1)
	go func() {
		line, err := read(terminal)
		done <- typed{line, err}
	}()
	select {
	case t := <-done:
		return t.line, t.err
	case <-ctx.Done():
		return "", errors.Join(ctx.Err(), term.Restore(fd, before))
	}
}

// readLine reads one line and not a byte more: what follows may be the answer to another question.
func readLine(f *os.File) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := f.Read(b)
		if n > 0 && b[0] == '\n' {
			return strings.TrimRight(string(line), "\r"), nil
		}
		line = append(line, b[:n]...)
		if err != nil {
			return "", err
		}
	}
}
