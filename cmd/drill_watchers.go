package cmd

import (
	"gwdr/drills"
	"gwdr/internal/telemetry"
	"gwdr/probes"
	"gwdr/scenarios"
)

// observeDrill serves the metrics of a drill at the address until stop is called, and returns what takes its events; nil if
// there is no address.
func (a *app) observeDrill(s *scenarios.Scenario, address string) (observe func(drills.Event), stop func(), err error) {
	if address == "" {
		return nil, func() {}, nil
	}
	var all []probes.Series
	for _, series := range seriesOf(s) {
		all = append(all, series.Series)
	}
	if l := s.SteadyState.Ledger; l.Every > 0 {
		all = append(all, (&probes.Ledger{Every: l.Every.D()}).Series())
	}
	metrics := telemetry.NewDrill(version(), s.Metadata.Name, s.Fleet, all)
	if stop, err = a.serveMetrics(address, metrics); err != nil {
		return nil, nil, err
	}
	return metrics.Observe, stop, nil
}
