package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

// calibration is the document of gwdr drill calibrate, as far as it matters here.
type calibration struct {
	Schema  string `json:"schema"`
	Verdict string `json:"verdict"`
	Reason  string `json:"reason"`
	Seed    uint64 `json:"seed"`
	Rows    []struct {
		Kind         string  `json:"kind"`
		Series       string  `json:"series"`
		N            int     `json:"n"`
		Inside       int     `json:"inside"`
		Outside      int     `json:"outside"`
		Inconclusive int     `json:"inconclusive"`
		BiasS        float64 `json:"bias_s"`
		SDS          float64 `json:"sd_s"`
		MaxS         float64 `json:"max_s"`
	} `json:"rows"`
}

// kindsOfOutage is how many a calibration makes.
const kindsOfOutage = 5

// rounds is how many outages of each kind a test makes: 2, or as many as GWDR_CALIBRATE_ROUNDS says; 20 is the long mode.
func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("GWDR_CALIBRATE_ROUNDS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("GWDR_CALIBRATE_ROUNDS: %v", err)
	}
	return n
}

// calibrate runs gwdr drill calibrate. It may claim nothing, but not what is wrong.
func (u *user) calibrate(n int) (calibration, int) {
	u.t.Helper()
	cmd := u.command("drill", "calibrate", "--quiet", "--json", "--rounds", fmt.Sprint(n))
	if n > 2 { // beyond the patience for one command
		cmd = exec.Command(binary, cmd.Args[1:]...)
		cmd.Dir, cmd.Env = u.home, u.env
	}
	out, err := cmd.Output()
	if err != nil && len(out) == 0 {
		u.t.Fatalf("gwdr drill calibrate: %v", err)
	}
	d := decode[calibration](u.t, string(out))
	for _, r := range d.Rows {
		u.t.Logf("%-10s %-9s n %2d  bias %6.1fms  sd %5.1fms  max %6.1fms  inside %2d  outside %d  inconclusive %d", r.Kind, r.Series, r.N,
			1e3*r.BiasS, 1e3*r.SDS, 1e3*r.MaxS, r.Inside, r.Outside, r.Inconclusive)
		if r.N != n {
			u.t.Errorf("%d measurements of %s, %s; want %d", r.N, r.Kind, r.Series, n)
		}
	}
	if d.Schema != "gwdr/calibration/v1" || len(d.Rows) != 2*kindsOfOutage {
		u.t.Errorf("schema %q, %d rows", d.Schema, len(d.Rows))
	}
	code := cmd.ProcessState.ExitCode()
	want := map[string]int{"pass": 0, "inconclusive": inconclusive}
	if good, ok := want[d.Verdict]; !ok || code != good {
		u.t.Errorf("exit code %d, %s: %s (seed %d)", code, d.Verdict, d.Reason, d.Seed)
	}
	return d, code
}

// TestCalibrate makes known outages, and wants the truth in every bracket that is claimed. A drill then quotes what was found.
func TestCalibrate(t *testing.T) {
	u := newUser(t)
	before := pressure()
	var d calibration
	code := inconclusive
	for try := 0; try < attempts && code == inconclusive; try++ {
		d, code = u.calibrate(rounds(t))
	}
	if share := pressure().since(before); code == inconclusive && share < busy {
		t.Errorf("inconclusive %d times, on a machine where CPU or disk were waited for only %.0f%% of the time: %s", attempts, 100*share, d.Reason)
	}
	u.write("gwdr.yaml", "fleets: {prod: {driver: docker, label: app=gateway, allow: true, host: unix:///nowhere/docker.sock, url: http://127.0.0.1:1}}\n")
	scenario := u.write("other.yaml", refusedScenario)
	contains(t, u.want(7, "drill", "run", scenario).stdout, "calibrated "+d.Verdict+": truth in the bracket in ")
	contains(t, u.want(0, "report", "verify").stdout, "on record at the start")
}

// TestCalibrateOnALoadedMachine takes one core away.
func TestCalibrateOnALoadedMachine(t *testing.T) {
	u := newUser(t)
	spin := exec.Command("sh", "-c", "while :; do :; done")
	if err := spin.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := spin.Process.Kill(); err != nil {
			t.Error(err)
		}
		spin.Wait() // says that it was killed
	})
	began := time.Now()
	d, _ := u.calibrate(rounds(t))
	t.Logf("%s: %s, in %s", d.Verdict, d.Reason, time.Since(began).Round(time.Second))
}

// refusedScenario is of a fleet whose engine is not there: its run ends at once, with evidence.
const refusedScenario = `apiVersion: gwdr/v1
kind: Scenario
metadata: {name: quick, title: Nothing that can be broken, class: ict-failure}
fleet: prod
targets: {east: {select: {region: us-east}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 1s, probes: [{route: /orders}]}
recovered: {stableFor: 1s, deadline: 30s}
safety: {lease: 3s, maxTargets: 3, keepHealthyRegions: 1}
steps: [{id: power-cut, fault: kill, target: east}]
revert: {verify: true, settle: 15s}
`
