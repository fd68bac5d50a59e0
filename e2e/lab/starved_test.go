package lab

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// attempts bounds how often a drill is run again that was right to end without a verdict: "run it again" is what it says.
const attempts = 3

// inconclusive is the exit code of a drill that does not trust its own measurement.
const inconclusive = 4

// untrusted are the reasons of a drill that was disturbed by a busy machine: each names the guard.
var untrusted = regexp.MustCompile(`inconclusive: the measurement cannot be trusted: (baseline|control|drift|lag|resolution|unknown): `)

// broken are the findings of guards that no load explains: samples that the record lacks, and a control target that was never
// probed.
var broken = regexp.MustCompile(`^(missing: |control: no control target)`)

const notSteady = "steady state was not held for "

// starved reports whether the drill gave the right answer of a busy machine, and not a verdict.
func (r result) starved() bool {
	return r.code == 7 && strings.Contains(r.stderr, notSteady) || r.code == inconclusive && untrusted.MatchString(r.stderr)
}

// verdicts are those that a drill may end with, and their exit codes.
var verdicts = map[string]int{"pass": 0, "fail": 3, "inconclusive": inconclusive}

// measure runs a drill until its verdict is the wanted one or, no more than that, shows what a starved machine makes of it. Every
// drill with a verdict is checked. If no attempt could be trusted, the machine must have been busy.
func (u *user) measure(want string, check func(drill), args ...string) (last result) {
	u.t.Helper()
	before := pressure()
	for range attempts {
		r := u.run(args...)
		if r.code == 7 && r.starved() { // nothing was broken, nothing measured
			u.t.Logf("once more: %s", r.stderr)
			continue
		}
		d := decode[drill](u.t, r.stdout)
		if verdicts[d.Verdict] != r.code || d.Verdict != want && !r.starved() {
			u.t.Fatalf("gwdr %v: exit code %d, %s (%s), want %s\nstdout: %s\nstderr: %s", args, r.code, d.Verdict, d.Reason, want, r.stdout, r.stderr)
		}
		check(d)
		if last = r; d.Verdict == want {
			return last
		}
		u.t.Logf("once more: %s", d.Reason)
	}
	if share := pressure().since(before); share < busy {
		u.t.Fatalf("gwdr %v: no %s in %d attempts, on a machine where CPU or disk were waited for only %.0f%% of the time", args, want, attempts, 100*share)
	}
	if last.stdout == "" {
		u.t.Fatalf("gwdr %v: the machine was too busy for any of %d drills to begin", args, attempts)
	}
	return last
}

// busy is the share of the time that somebody waits on a machine that disturbs a drill.
const busy = 0.3

// stalls is how long somebody had to wait for CPU and disk so far, and when that was asked for.
type stalls struct {
	at      time.Time
	cpu, io time.Duration
}

// pressure asks the kernel (its documentation: accounting/psi). Where it does not know, nothing was waited for.
func pressure() stalls {
	return stalls{time.Now(), stalled("cpu"), stalled("io")}
}

func stalled(what string) time.Duration {
	raw, _ := os.ReadFile("/proc/pressure/" + what)
	var of10s, of1m, of5m float64
	var total int64 // µs
	if _, err := fmt.Sscanf(string(raw), "some avg10=%f avg60=%f avg300=%f total=%d", &of10s, &of1m, &of5m, &total); err != nil {
		return 0
	}
	return time.Duration(total) * time.Microsecond
}

// since returns the larger share of the time since then.
func (s stalls) since(then stalls) float64 {
	return max(s.cpu-then.cpu, s.io-then.io).Seconds() / s.at.Sub(then.at).Seconds()
}
