//go:build linux

package netns

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

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

// TestDrills runs a whole drill of each kind.
func TestDrills(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	for _, kind := range kinds {
		r := p.Pass(p.Write("drill.yaml", shell.Scenario(kind, shell.UntilRecovered, shell.Soon)))
		if len(r.Faults) != 1 || !r.Faults[0].Verified || r.Faults[0].Targets[0] != w.name("us-east") {
			t.Errorf("%s: %+v", kind, r)
		}
		if err := w.whole(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		p.Want(0, "report", "verify", r.Evidence)
	}
	p.Write("drill.yaml", shell.Scenario("fault: dns", "5s", shell.Soon))
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

// TestKills kills a drill, its guard, both, and the holder of its rules, at a random moment of a fault. The guard, or the drill, reverts
// long before the lease ends; where neither is left, the lease ends the fault.
func TestKills(t *testing.T) {
	w := newWorld(t)
	p := w.person()
	for part, kill := range map[string]func(d *shell.Drill){
		"drill": func(d *shell.Drill) {
			d.Cmd.Process.Kill()
			shell.Eventually(t, 20*time.Second, d.ByGuard)
		},
		"guard": func(d *shell.Drill) {
			shell.Kill(t, binary, "drill guard")
			d.Want(5)
		},
		"both": func(d *shell.Drill) {
			shell.Orphan(t, binary)
			shell.Eventually(t, 20*time.Second, w.whole)
			if end := p.Want(0, "version"); !strings.Contains(end.Err, "ORPHANED") {
				t.Errorf("says nothing of an orphan: %s", end.Err)
			}
			p.Want(7, "drill", "run", "drill.yaml", "--approve", "any")
		},
		"holder": func(d *shell.Drill) {
			shell.Kill(t, binary, "drill hold")
			d.Want(5)
		},
	} {
		lease := shell.Late
		if part == "both" || part == "holder" { // the end of a holder is seen when the lease is renewed
			lease = shell.Soon
		}
		t.Run(part, func(t *testing.T) {
			for range rounds(t) {
				kind := kinds[rand.IntN(len(kinds))]
				d := p.InEffect(p.Write("drill.yaml", shell.Scenario(kind, "20s", lease)))
				if w.whole() == nil {
					t.Errorf("%s: no rule shows while it is in effect", kind)
				}
				time.Sleep(rand.N(time.Second)) // any moment will do
				kill(d)
				shell.Eventually(t, 20*time.Second, w.whole)
				shell.Eventually(t, 20*time.Second, p.Clean)
				d.Wait()
			}
		})
	}
}
