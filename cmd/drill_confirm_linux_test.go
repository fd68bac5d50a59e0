package cmd

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// TestConfirmationComesFirst: the question is the last thing that is said, as nothing has begun yet; whoever does not answer it has
// run no drill.
func TestConfirmationComesFirst(t *testing.T) {
	work := t.TempDir()
	for name, content := range map[string]string{
		"list.sh":    "#!/bin/sh\necho '[{\"id\": \"east-1\", \"region\": \"us-east\", \"running\": true}]'\n",
		"nothing.sh": "#!/bin/sh\n",
		"gwdr.yaml": "fleets: {prod: {driver: exec, allow: true, kinds: [kill], list: [./list.sh], inject: [./nothing.sh], verify: [./nothing.sh], " +
			"revert: [./nothing.sh], url: 'http://127.0.0.1:1'}}\n",
		"quick.yaml": "apiVersion: gwdr/v1\nkind: Scenario\nmetadata: {name: quick, title: Loss, class: ict-failure}\nfleet: prod\n" +
			"targets: {east: {select: {region: us-east}}}\nobjectives: [{id: rto, metric: rta, plane: data, le: 10s}]\n" +
			"steadyState: {baseline: 1s, probes: [{route: /orders}]}\nrecovered: {stableFor: 1s, deadline: 30s}\n" +
			"safety: {lease: 5s, maxTargets: 2}\nsteps: [{id: cut, fault: kill, target: east}]\nrevert: {verify: true, settle: 10s}\n",
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	person, terminal := openTerminal(t)
	shown := make(chan string, 1)
	go func() {
		var all strings.Builder
		for r := bufio.NewReader(person); ; {
			b, err := r.ReadByte()
			if err != nil || b == '\x04' {
				break
			}
			if all.WriteByte(b); strings.HasSuffix(all.String(), "by this plan: ") {
				fmt.Fprint(person, "prod\n")
			}
		}
		shown <- all.String()
	}()
	code := run([]string{"--config", filepath.Join(work, "gwdr.yaml"), "drill", "run", filepath.Join(work, "quick.yaml"),
		"--evidence", filepath.Join(work, "evidence")},
		invocation{terminal, &bytes.Buffer{}, terminal, func(key string) string { return map[string]string{"HOME": work}[key] }, "gwdr", os.Environ()})
	fmt.Fprint(terminal, "\x04")
	before, after, asked := strings.Cut(<-shown, "Type quick to break prod by this plan: ")
	if code != exitRefused || !asked || !strings.Contains(before, "PLAN  quick on prod") || strings.Contains(before, "[DRILL]") ||
		!strings.HasPrefix(after, "prod\r\ngwdr: drill refused: nobody has approved this plan: that was not quick") {
		t.Errorf("exit code %d, asked %v:\n%s|%s", code, asked, before, after)
	}
	if _, err := os.Stat(filepath.Join(work, "evidence")); err == nil {
		t.Error("it is a run")
	}
}
