package shell

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// attempts is how often a drill is begun that the machine is too busy for.
const attempts = 4

// Result is what tests read of gwdr/drill/v1.
type Result struct {
	Verdict, Reason, Evidence string
	Clean                     bool
	Faults                    []struct {
		Kind     string
		Targets  []string
		Verified bool
	}
	Objectives []struct{ ID, Value, Verdict string }
	RTA        map[string]struct {
		HighS     float64 `json:"high_s"`
		Recovered bool
	}
}

// approved returns the arguments that run the scenario in the file by the plan that it has now.
func (p *Person) approved(file string) []string {
	p.T.Helper()
	plan := Decode[struct {
		Hash string `json:"plan_sha256"`
	}](p.T, p.Want(0, "drill", "run", file, "--dry-run", "--json").Out)
	return []string{"drill", "run", file, "--json", "--approve", plan.Hash}
}

// Pass runs the drill until it passes; a busy machine may make it inconclusive. Each must end clean.
func (p *Person) Pass(file string) Result {
	p.T.Helper()
	for range attempts {
		end := p.Run(p.approved(file)...)
		if end.Code == 7 && strings.Contains(end.Err, "steady state") {
			p.T.Log(end.Err)
			continue
		}
		r := Decode[Result](p.T, end.Out)
		if !r.Clean || end.Code != 0 && end.Code != 4 {
			p.T.Fatalf("exit code %d: %+v\n%s", end.Code, r, end.Err)
		}
		if p.T.Log(r.Verdict, r.Reason); end.Code == 0 {
			return r
		}
	}
	p.T.Fatal("no drill was conclusive")
	return Result{}
}

// Drill is one that was started.
type Drill struct {
	Cmd       *exec.Cmd
	out, errs bytes.Buffer
	over      chan struct{}
}

// Ended reports whether its process has ended.
func (d *Drill) Ended() bool {
	select {
	case <-d.over:
		return true
	default:
		return false
	}
}

// Wait waits for the end.
func (d *Drill) Wait() Ended {
	<-d.over
	return Ended{d.Cmd.ProcessState.ExitCode(), d.out.String(), d.errs.String()}
}

// InEffect starts a drill, with more flags, and returns it once its fault is in effect.
func (p *Person) InEffect(file string, more ...string) *Drill {
	p.T.Helper()
	for range attempts {
		before := p.journals()
		d := &Drill{Cmd: p.command(append(p.approved(file), more...)...), over: make(chan struct{})}
		d.Cmd.Stdout, d.Cmd.Stderr, d.Cmd.WaitDelay = &d.out, &d.errs, time.Second
		if err := d.Cmd.Start(); err != nil {
			p.T.Fatal(err)
		}
		go func() {
			d.Cmd.Wait()
			close(d.over)
		}()
		Eventually(p.T, 2*time.Minute, func() error {
			if d.Ended() || p.observing(before) {
				return nil
			}
			return errors.New("the fault is not in effect")
		})
		if !d.Ended() {
			return d
		}
		if end := d.Wait(); end.Code != 7 || !strings.Contains(end.Err, "steady state") {
			p.T.Fatalf("the drill ended: exit code %d\n%s\n%s", end.Code, end.Out, end.Err)
		}
	}
	p.T.Fatal("the machine was too busy for a steady state")
	return nil
}

func (p *Person) journals() map[string]bool {
	found := map[string]bool{}
	all, _ := filepath.Glob(filepath.Join(p.Home, "*", "*", "journal.jsonl")) // wherever the evidence is kept
	for _, file := range all {
		found[file] = true
	}
	return found
}

// observing reports whether a journal that was not there before says that the fault was verified.
func (p *Person) observing(before map[string]bool) bool {
	for file := range p.journals() {
		text, _ := os.ReadFile(file)
		if !before[file] && bytes.Contains(text, []byte(`"phase":"observing"`)) {
			return true
		}
	}
	return false
}
