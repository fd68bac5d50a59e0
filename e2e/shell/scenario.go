package shell

import "strings"

const scenario = `
apiVersion: gwdr/v1
kind: Scenario
metadata: {name: region-loss, title: Loss of a region, class: ict-failure}
fleet: prod
targets: {east: {select: {region: us-east}, expect: {min: 1, max: 1}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 2s, probes: [{route: /orders, every: 100ms, timeout: 1s}]}
recovered: {stableFor: 1s, deadline: 60s}
guardrails: [{name: time, drill: {gt: 3m}}]
safety: {lease: LEASE, maxTargets: 1, keepHealthyRegions: 1}
steps:
  - {id: cut, STEP, target: east, hold: HOLD}
revert: {order: reverse, verify: true, settle: 30s}
`

// The leases of scenarios: one that ends soon, and one that outlasts every test, so that nothing is mended by its end.
const (
	Soon = "3s"
	Late = "2m"
)

// UntilRecovered holds a fault as long as it takes to see that clients are served.
const UntilRecovered = "until-recovered+1s"

// Scenario breaks the region us-east of the fleet prod: step is the fault and its parameters, as `fault: loss, with: {share: 0.3}`.
func Scenario(step, hold, lease string) string {
	return strings.NewReplacer("STEP", step, "HOLD", hold, "LEASE", lease).Replace(scenario)
}
