//go:build linux

package netns

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

const scenario = `
apiVersion: gwdr/v1
kind: Scenario
metadata: {name: region-isolated, title: A region is cut off, class: ict-failure}
fleet: prod
targets: {east: {select: {region: us-east}, expect: {min: 1, max: 1}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 2s, probes: [{route: /orders, every: 100ms, timeout: 1s}]}
recovered: {stableFor: 1s, deadline: 60s}
guardrails: [{name: time, drill: {gt: 3m}}]
safety: {lease: 3s, maxTargets: 1, keepHealthyRegions: 1}
steps:
  - {id: cut, fault: isolate, target: east, hold: until-recovered+1s}
revert: {order: reverse, verify: true, settle: 30s}
`

// kinds are the faults, as the step of a scenario has them.
var kinds = []string{"fault: isolate", "fault: black-hole", "fault: reset", "fault: loss, with: {share: 0.3}",
	"fault: partition, with: {peer: {region: us-west}}"}

// person is in the clients' namespace, and may break the regions.
func (w *world) person() *shell.Person {
	w.t.Helper()
	p := shell.New(w.t, binary, "ip", "netns", "exec", w.name("client"))
	fleet := fmt.Sprintf("state: state\nfleets: {prod: {driver: netns, allow: true, url: 'http://%s', namespaces: [", frontDoor)
	for i, region := range []string{"us-east", "us-west"} {
		fleet += fmt.Sprintf("{name: %s, region: %s, url: 'http://10.66.0.%d:%d'},", w.name(region), region, i+2, servers)
	}
	p.Write("gwdr.yaml", fleet+"]}}\n")
	return p
}

// of is the scenario with another fault, which lasts.
func of(kind, hold string) string {
	return strings.NewReplacer("fault: isolate", kind, "until-recovered+1s", hold).Replace(scenario)
}

// TestDrills runs a whole drill of each kind.
func TestDrills(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	for _, kind := range kinds {
		r := p.Pass(p.Write("drill.yaml", of(kind, "until-recovered+1s")))
		if len(r.Faults) != 1 || !r.Faults[0].Verified || r.Faults[0].Targets[0] != w.name("us-east") {
			t.Errorf("%s: %+v", kind, r)
		}
		if err := w.whole(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		p.Want(0, "report", "verify", r.Evidence)
	}
	p.Write("drill.yaml", of("fault: dns", "5s"))
	if end := p.Want(7, "drill", "run", "drill.yaml", "--approve", "any"); !strings.Contains(end.Err, "fault dns: fault is not supported by this fleet") {
		t.Errorf("dns: %s", end.Err)
	}
}

// rounds is how often each part is killed.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("GWDR_KILLS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("GWDR_KILLS: %v", err)
	}
	return max(1, n/20)
}

// TestKills kills a drill, its guard, both, and the holder of its rules, at a random moment of a fault. Whoever is left reverts; where
// nobody is, the lease ends the fault.
func TestKills(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	for part, kill := range map[string]func(d *shell.Drill){
		"drill": func(d *shell.Drill) {
			d.Cmd.Process.Kill()
		},
		"guard": func(d *shell.Drill) {
			p.Kill("drill guard")
			wantCode(t, d, 5)
		},
		"both": func(d *shell.Drill) {
			d.Cmd.Process.Signal(syscall.SIGSTOP) // it would notice
			p.Kill("drill guard")
			d.Cmd.Process.Kill()
			d.Wait()
			shell.Eventually(t, 20*time.Second, w.whole)
			if end := p.Want(0, "version"); !strings.Contains(end.Err, "ORPHANED") {
				t.Errorf("says nothing of an orphan: %s", end.Err)
			}
			p.Want(7, "drill", "run", "drill.yaml", "--approve", "any")
		},
		"holder": func(d *shell.Drill) {
			p.Kill("drill hold")
			wantCode(t, d, 5)
		},
	} {
		t.Run(part, func(t *testing.T) {
			for range rounds(t) {
				kind := kinds[rand.IntN(len(kinds))]
				d := p.InEffect(p.Write("drill.yaml", of(kind, "20s")))
				if w.whole() == nil {
					t.Errorf("%s: no rule shows while it is in effect", kind)
				}
				time.Sleep(rand.N(time.Second)) // any moment will do
				kill(d)
				shell.Eventually(t, 20*time.Second, w.whole)
				shell.Eventually(t, 20*time.Second, func() error { return reverted(p) })
				d.Wait()
			}
		})
	}
}

func wantCode(t *testing.T, d *shell.Drill, want int) {
	t.Helper()
	if end := d.Wait(); end.Code != want {
		t.Errorf("exit code %d, want %d: %s\n%s", end.Code, want, end.Out, end.Err)
	}
}

// reverted cleans up, and says what is left nevertheless.
func reverted(p *shell.Person) error {
	if end := p.Run("drill", "revert"); end.Code != 0 {
		return fmt.Errorf("exit code %d: %s %s", end.Code, end.Out, end.Err)
	}
	left, err := filepath.Glob(filepath.Join(p.Home, "state", "fleets", "prod", "faults", "netns", "*"))
	if err != nil || len(left) > 0 {
		return fmt.Errorf("files are left: %v, %w", left, err)
	}
	return nil
}
