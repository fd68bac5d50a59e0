package cmd

import (
	"strings"
	"testing"

	"gwdr/probes/calibration"
)

// TestCalibrationTable shows what people see of a calibration that found a wrong number.
func TestCalibrationTable(t *testing.T) {
	d := calibration.Document{
		Verdict: calibration.Fail, Reason: "the truth lay outside of the bracket in 1 of 19 measurements", Seed: 7, RateHz: 50,
		Host: calibration.Host{Name: "drill-1", Kernel: "Linux 6.1.0", CPUs: 2, Load: 0.5},
		Rows: []calibration.Row{{Kind: calibration.Hold, Series: "fresh", N: 20, Inside: 18, Outside: 1, Inconclusive: 1, BiasS: -0.0101, SDS: 0.008,
			MaxS: -0.0312, OverS: 0.009, BoundS: 0.04}},
		Trials: []calibration.Trial{
			{Kind: calibration.Hold, Series: "fresh", Verdict: calibration.Pass},
			{Kind: calibration.Hold, Series: "fresh", Verdict: calibration.Inconclusive, Reason: "lag: fresh: attempts were sent late"},
			{Kind: calibration.Hold, Series: "fresh", Verdict: calibration.Fail, Reason: "true RTA 0.5000s is not in [0.6000s, 0.7000s]"},
		},
	}
	var b strings.Builder
	if err := writeCalibration(&b, d, "/state/1.json"); err != nil {
		t.Fatal(err)
	}
	want := `FAIL  the truth lay outside of the bracket in 1 of 19 measurements

  outage  connections   n   bias   sd    max  1/R+L  over  inside  open
    hold        fresh  20  -10.1  8.0  -31.2   40.0   9.0   18/19     1

n: outages. Lengths in ms: bias, sd and max of the error; 1/R+L, the most that
the prober's rate and its limit for slow answers allow; over, by how much the RTA
that is judged overstates. inside: the truth in the bracket. open: inconclusive.
wrong: hold, fresh: true RTA 0.5000s is not in [0.6000s, 0.7000s]
inconclusive: 1 by lag

host  drill-1, Linux 6.1.0, 2 CPUs, load 0.50
seed  7 at 50/s
kept  /state/1.json
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
