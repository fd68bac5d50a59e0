package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"gwdr/drills"
)

// openTerminal opens a terminal: what a person types is written into person, and what is shown read from there.
func openTerminal(t *testing.T) (person, terminal *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return person, terminal
}

// TestConfirmation: at a terminal the plan is shown, and the name of the scenario must be typed.
func TestConfirmation(t *testing.T) {
	for typed, approved := range map[string]bool{"region-loss\n": true, " region-loss \n": true, "yes\n": false, "\n": false, "prod\n": false} {
		t.Run(strings.TrimSpace(typed), func(t *testing.T) {
			s, p, hash := approvable(t, "prod")
			person, terminal := openTerminal(t)
			shown := make(chan string, 1)
			go func() {
				var all strings.Builder
				for r := bufio.NewReader(person); !strings.Contains(all.String(), "by this plan: "); {
					b, err := r.ReadByte()
					if err != nil {
						break
					}
					all.WriteByte(b)
				}
				shown <- all.String()
				fmt.Fprint(person, typed)
			}()
			a := &app{Stdin: terminal, Stderr: terminal, Config: &Config{}}
			err := a.approval(s, "", nil)(t.Context(), p, hash)
			if (err == nil) != approved || !approved && (!errors.Is(err, drills.ErrRefused) || !strings.Contains(err.Error(), "that was not region-loss")) {
				t.Errorf("got %v", err)
			}
			for _, want := range []string{"PLAN  region-loss on prod", "kill: us-east-1", hash, "Type region-loss to break prod by this plan: "} {
				if text := <-shown; !strings.Contains(text, want) {
					t.Errorf("%q is not shown: %s", want, text)
				} else {
					shown <- text
				}
			}
		})
	}
}
