package cmd

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

// drillSeries is one series of a drill: what is asked for, and how.
type drillSeries struct {
	probes.Series
	probe scenarios.Probe
	fresh bool // a new connection for each attempt
}

// The control target is the upstream's process itself, past the gateway and past what faults do to its answers: what disturbs it
// disturbed the prober.
const echoSeries = "control target"

// guardrailEvery is the time between two attempts at an instance that a guardrail watches.
const guardrailEvery = 100 * time.Millisecond

// seriesOf returns every probe of the scenario with fresh and with kept-alive connections, and the control target.
func seriesOf(s *scenarios.Scenario) []drillSeries {
	var all []drillSeries
	var described []probes.Series
	for _, p := range s.SteadyState.Probes {
		for _, fresh := range []bool{true, false} {
			series := probes.Series{Name: probeName(p, fresh), Plane: probes.DataPlane, Interval: p.Every.D(), Timeout: p.Timeout.D()}
			all, described = append(all, drillSeries{probe: p, fresh: fresh, Series: series}), append(described, series)
		}
	}
	return append(all, drillSeries{Series: probes.ControlSeries(echoSeries, described...), probe: scenarios.Probe{Key: scenarios.NoKey}, fresh: true})
}

func probeName(p scenarios.Probe, fresh bool) string {
	mode := "keepalive"
	if fresh {
		mode = "fresh"
	}
	return fmt.Sprintf("%s/%s/%s", p.Route, p.Key, mode)
}

// siteProbes makes the probers of a drill.
type siteProbes struct {
	front, control string            // base URLs: where clients come in, and the control target
	echo           bool              // what is behind the gateway repeats the nonce
	keys           map[string]string // API keys, by the word in the scenario
}

// all returns the probers of the scenario: its own, and those of its guardrails.
func (p siteProbes) all(s *scenarios.Scenario, instances []fleet.Instance) ([]drills.Probe, error) {
	var all []drills.Probe
	for _, series := range seriesOf(s) {
		base := p.front
		if series.Control {
			base = p.control
		}
		request, err := p.request(base, series.probe, series.fresh)
		if err != nil {
			return nil, err
		}
		all = append(all, drills.Probe{Series: series.Series, Run: runProber(series.Series, request)})
	}
	for _, g := range s.Guardrails {
		if g.Success == nil {
			continue
		}
		for _, in := range g.Select.Select(instances) {
			if in.Role != fleet.Data || in.URL == "" { // nobody told where it is
				continue
			}
			request, err := p.request(in.URL, s.SteadyState.Probes[0], false)
			if err != nil {
				return nil, err
			}
			series := probes.Series{Name: "guardrail " + g.Name + " " + in.ID, Interval: guardrailEvery, Timeout: time.Second}
			all = append(all, drills.Probe{Series: series, Guardrail: g.Name, Run: runProber(series, request)})
		}
	}
	return all, nil
}

// request is what the probe sends to base. Only an answer that comes from the upstream repeats the nonce.
func (p siteProbes) request(base string, of scenarios.Probe, fresh bool) (probes.Request, error) {
	r := probes.Request{URL: base + "/" + strings.TrimPrefix(of.Route, "/"), Expect: of.Expect.Status, Fresh: fresh,
		Echo: p.echo && (of.Expect.Status == 0 || of.Expect.Status == http.StatusOK)}
	var err error
	if r.Want, err = of.Expect.Expectation(); err != nil {
		return r, err // never: the scenario is valid
	}
	if of.Key == scenarios.NoKey {
		return r, nil
	}
	token, ok := p.keys[of.Key]
	if !ok {
		return r, fmt.Errorf("%w: the fleet has no %s key", drills.ErrRefused, of.Key)
	}
	r.Header = map[string]string{"Authorization": "Bearer " + token}
	return r, nil
}

func runProber(series probes.Series, request probes.Request) func(context.Context, time.Time, func(probes.Sample)) error {
	return func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error {
		p := probes.Prober{Series: series, Request: request, T0: t0, Out: out}
		return p.Run(ctx)
	}
}
