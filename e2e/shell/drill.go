package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	person    *Person
	before    []string // the evidence of others
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

// Want waits for the end, and says so if it is not with the code.
func (d *Drill) Want(code int) Ended {
	d.person.T.Helper()
	end := d.Wait()
	if end.Code != code {
		d.person.T.Errorf("exit code %d, want %d: %s\n%s", end.Code, code, end.Out, end.Err)
	}
	return end
}

// InEffect starts a drill, with more flags, and returns it once its fault is in effect.
func (p *Person) InEffect(file string, more ...string) *Drill {
	p.T.Helper()
	return p.Reach(file, (*Drill).observing, more...)
}

// Reach starts a drill, with more flags, and returns it once it is there.
func (p *Person) Reach(file string, there func(d *Drill) bool, more ...string) *Drill {
	p.T.Helper()
	for range attempts {
		d := p.start(append(p.approved(file), more...)...)
		Eventually(p.T, 2*time.Minute, func() error {
			if d.Ended() || there(d) {
				return nil
			}
			return errors.New("the drill is not so far")
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

func (p *Person) start(args ...string) *Drill {
	p.T.Helper()
	d := &Drill{Cmd: p.command(args...), person: p, before: p.evidence(), over: make(chan struct{})}
	d.Cmd.Stdout, d.Cmd.Stderr, d.Cmd.WaitDelay = &d.out, &d.errs, time.Second
	if err := d.Cmd.Start(); err != nil {
		p.T.Fatal(err)
	}
	go func() {
		d.Cmd.Wait()
		close(d.over)
	}()
	return d
}

// evidence lists the folders of all drills, wherever they are kept.
func (p *Person) evidence() []string {
	journals, _ := filepath.Glob(filepath.Join(p.Home, "*", "*", "journal.jsonl"))
	for i, file := range journals {
		journals[i] = filepath.Dir(file)
	}
	return journals
}

// record reads a file of the drill's evidence: nothing if it is not there.
func (d *Drill) record(name string) (text []byte) {
	for _, dir := range d.person.evidence() {
		if !slices.Contains(d.before, dir) {
			text, _ = os.ReadFile(filepath.Join(dir, name))
		}
	}
	return text
}

// observing reports whether its fault was verified.
func (d *Drill) observing() bool {
	return bytes.Contains(d.record("journal.jsonl"), []byte(`"phase":"observing"`))
}

// Injecting says so if its record is not that of one that has begun to inject a fault, and has not come to the end of that.
func (d *Drill) Injecting() error {
	text := d.record("journal.jsonl")
	if !bytes.Contains(text, []byte(`"fault-intent"`)) || bytes.Contains(text, []byte(`"fault-injected"`)) {
		return fmt.Errorf("it is not in the middle of an injection: %s", text)
	}
	return nil
}

// ByGuard says so if the record of the revert is not one of the guard's that is whole, and has reverted the one fault.
func (d *Drill) ByGuard() error {
	text := d.record("revert.jsonl")
	var reverted, clean int
	for line := range bytes.Lines(text) {
		var e struct {
			Type string
			Data struct {
				By, Error string
				Clean     bool
			}
		}
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("read the record of the revert: %w", err)
		}
		switch {
		case e.Data.By == "guard" && e.Type == "fault-reverted" && e.Data.Error == "":
			reverted++
		case e.Data.By == "guard" && e.Type == "end" && e.Data.Clean:
			clean++
		}
	}
	if reverted != 1 || clean != 1 {
		return fmt.Errorf("the guard has not reverted it: %s", text)
	}
	return nil
}
