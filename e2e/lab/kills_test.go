package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gwdr/fleet/process"
)

// How often TestKills kills, and how soon a fault must be gone: its lease is 3 s, and a revert that the guard has begun may take
// as long as one attempt of it.
const (
	killsVariable = "GWDR_KILLS" // the number of kills; unset: one for each kind of fault
	killsSeed     = "GWDR_KILLS_SEED"
	goneWithin    = 20 * time.Second
)

// TestKills kills drills with SIGKILL at random moments, over all kinds of fault, in one lab that has to survive them all. After
// each, the lab is as it was before, seen by who asks nobody that injects or reverts. The first drill of each kind is killed once the
// same scan has seen its fault.
func TestKills(t *testing.T) {
	all, kills := faults(t), 0
	if kills = number(t, killsVariable); kills == 0 {
		kills = len(all)
	}
	k := newKiller(t)
	for i := range kills {
		if k.kill(all[i%len(all)]); t.Failed() {
			break
		}
	}
	t.Log("\n" + k.table())
}

// TestQuorumKills kills drills that take the majority of the store away: its members are back, with what they had.
func TestQuorumKills(t *testing.T) {
	k := newKillerIn(t, "us-east,us-west,eu-west", process.ReplicationSync)
	for range max(parts, number(t, killsVariable)/20) {
		if k.kill(quorumLoss); t.Failed() {
			break
		}
	}
}

// newKiller starts a lab of two regions for the test.
func newKiller(t *testing.T) *killer {
	t.Helper()
	return newKillerIn(t, "us-east,us-west", process.ReplicationAsync)
}

// newKillerIn starts a lab for the test, and chooses the seed, which it prints.
func newKillerIn(t *testing.T, regions, replication string) *killer {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if n := number(t, killsSeed); n != 0 {
		seed = uint64(n)
	}
	t.Logf("%s=%d kills at these moments again", killsSeed, seed)
	u := newUser(t)
	u.want(0, "lab", "up", "--regions", regions, "--instances", "1", "--replication", replication)
	u.run("backup", "-q") // three directories on one device: 3-2-1 is not met, and gwdr says so
	t.Cleanup(func() { u.run("lab", "down") })
	return &killer{user: u, scene: u.newScene(), random: rand.New(rand.NewPCG(seed, 0)), tally: map[string]*tally{}}
}

// number reads a number from the environment: 0 if it is not there.
func number(t *testing.T, variable string) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%q is no number", variable, text)
	}
	return n
}

// killer kills drills, and counts.
type killer struct {
	*user
	scene  *scene
	random *rand.Rand
	tally  map[string]*tally
}

// tally is what came of the kills of one kind of fault.
type tally struct {
	kills, broken, escaped int // broken: with a fault that was in effect, or about to be
	leftovers              int
	seen                   string // of the fault while it was in effect
	phases                 []string
	gone                   []time.Duration
}

// kill kills a drill of the fault. One that ends before it is killed is no kill, and begins again.
func (k *killer) kill(f fault) {
	k.t.Helper()
	c := k.tally[string(f.kind)]
	if c == nil {
		c = &tally{}
		k.tally[string(f.kind)] = c
	}
	for range attempts {
		before, hold := k.runs(), "2s"
		if c.seen == "" {
			hold = "20s"
		}
		r := k.start(f.scenario(hold))
		if c.seen == "" {
			k.see(r, f, c, before)
		} else {
			k.wait(r, before)
		}
		if r.Process.Kill(); r.code() != -1 { // it had ended
			c.escaped++
			if end := r.result(); !slices.Contains([]int{0, 3, inconclusive, 5}, end.code) && !(end.code == 7 && end.starved()) {
				k.t.Fatalf("%s: exit code %d\n%s", f.kind, end.code, end.stderr)
			}
			continue
		}
		k.killed(f, c, k.newRun(before))
		return
	}
	k.t.Errorf("%s: %d drills came to their end before they were killed", f.kind, c.escaped)
}

// see waits until the fault is in effect, and checks that it shows: a scan that is blind finds nothing left behind, either.
func (k *killer) see(r *run, f fault, c *tally, before []string) {
	k.t.Helper()
	for !r.ended() && k.phase(before) != "observing" {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(k.moment(time.Second))
	for end := time.Now().Add(15 * time.Second); !r.ended() && c.seen == "" && time.Now().Before(end); {
		c.seen = strings.Join(slices.DeleteFunc(k.scene.leftovers(k.t.Context()), onlyTheDrill), "; ")
	}
	if c.seen == "" && !r.ended() {
		k.t.Errorf("%s: nothing shows while it is in effect, so that nothing would be seen of what is left of it", f.kind)
	}
	k.t.Logf("%s in effect: %s", f.kind, c.seen[:min(len(c.seen), 160)])
}

// onlyTheDrill reports whether it is only the drill and its guard that show.
func onlyTheDrill(seen string) bool {
	return strings.HasPrefix(seen, "processes: ") && !strings.Contains(seen, " lab ")
}

// phase returns the last phase of the run that was not there before.
func (k *killer) phase(before []string) string {
	_, phase := faultsOf(filepath.Join(k.newRun(before), "journal.jsonl"))
	return phase
}

// wait waits for a random moment: one of four is before anything is broken, from the start of the process on; the others lie from
// the injection to the end.
func (k *killer) wait(r *run, before []string) {
	if k.random.IntN(4) == 0 {
		time.Sleep(k.moment(2500 * time.Millisecond))
		return
	}
	for !r.ended() {
		if dir := k.newRun(before); dir != "" {
			if broken, _ := faultsOf(filepath.Join(dir, "journal.jsonl")); broken > 0 {
				break
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(k.moment(3500 * time.Millisecond))
}

func (k *killer) moment(most time.Duration) time.Duration {
	return time.Duration(k.random.Int64N(int64(most)))
}

// runs lists the directories of all runs.
func (k *killer) runs() []string {
	dirs, _ := filepath.Glob(filepath.Join(k.home, "evidence", "2*"))
	return dirs
}

// newRun returns the directory of the run that was not there before, or nothing.
func (k *killer) newRun(before []string) string {
	for _, dir := range k.runs() {
		if !slices.Contains(before, dir) {
			return dir
		}
	}
	return ""
}

// killed checks what is left of a drill that was just killed: nothing but its record.
func (k *killer) killed(f fault, c *tally, dir string) {
	k.t.Helper()
	inEffect, phase := faultsOf(filepath.Join(dir, "journal.jsonl"))
	gone, left := k.scene.gone(k.t.Context(), goneWithin)
	c.kills++
	c.gone, c.phases = append(c.gone, gone), append(c.phases, phase)
	if inEffect > 0 {
		c.broken++
	}
	k.t.Logf("%s killed in phase %q with %d in effect: gone within %.1f s", f.kind, phase, inEffect, gone.Seconds())
	if c.leftovers += len(left); len(left) > 0 {
		k.t.Errorf("%s, killed in phase %q: left behind: %s", f.kind, phase, strings.Join(left, "\n"))
	}
	if r := k.run("drill", "revert"); r.code != 0 {
		k.t.Errorf("%s, killed in phase %q: gwdr drill revert: exit code %d\n%s%s", f.kind, phase, r.code, r.stdout, r.stderr)
	}
	if phase != "" {
		k.reported(f, phase, dir)
	}
}

// reported checks the record of a killed run: it says that it was killed, unless its report was whole by then, and that nothing is left.
func (k *killer) reported(f fault, phase, dir string) {
	k.t.Helper()
	d := decode[drill](k.t, k.want(0, "drill", "show", filepath.Base(dir), "--json").stdout)
	if !d.Clean || d.Verdict == "pass" && phase != "clean" {
		k.t.Errorf("%s, killed in phase %q: the record says %s (%s), clean %v", f.kind, phase, d.Verdict, d.Reason, d.Clean)
	}
	k.want(0, "report", dir)
	k.want(0, "report", "verify", dir)
}

// table shows what came of all kills, one line for each kind.
func (k *killer) table() string {
	var b strings.Builder
	line := "%-16s %5v %6v %8v %7v %10v\n"
	fmt.Fprintf(&b, line, "kind", "kills", "broken", "median_s", "worst_s", "left behind")
	var total tally
	row := func(name string, c *tally) {
		slices.Sort(c.gone)
		seconds := func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()) }
		if n := len(c.gone); n > 0 {
			fmt.Fprintf(&b, line, name, c.kills, c.broken, seconds(c.gone[n/2]), seconds(c.gone[n-1]), c.leftovers)
		}
	}
	for _, f := range faults(k.t) {
		c := k.tally[string(f.kind)]
		if c == nil {
			continue
		}
		row(string(f.kind), c)
		total.kills += c.kills
		total.broken += c.broken
		total.leftovers += c.leftovers
		total.gone, total.phases = append(total.gone, c.gone...), append(total.phases, c.phases...)
	}
	row("all", &total)
	count := map[string]int{}
	for _, phase := range total.phases {
		count[phase]++
	}
	fmt.Fprintf(&b, "in phases: %v", count)
	return b.String()
}
