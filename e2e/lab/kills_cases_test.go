package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"gwdr/fleet"
	"gwdr/fleet/process"
)

// fault is one kind of fault as a scenario has it: its target, and its parameters.
type fault struct {
	kind         fleet.FaultKind
	target, with string // flow mappings of YAML
}

// The targets of the faults. In a lab with one data instance in each region, the first region leads.
const (
	region   = "{region: us-east}"
	control  = "{instance: us-east-control}"
	data     = "{instance: us-east-1}"
	upstream = "{role: upstream}"
)

// cases says how each kind of fault is injected into the lab.
func cases() map[fleet.FaultKind]fault {
	all := map[fleet.FaultKind]fault{}
	for _, f := range []fault{
		{fleet.Kill, region, ""}, {fleet.Pause, data, ""}, {fleet.Slow, data, "{share: 0.3}"}, {fleet.RestartLoop, data, "{every: 100ms}"},
		{fleet.CPUPressure, data, "{count: 1}"}, {fleet.MemoryPressure, data, "{bytes: 33554432}"}, {fleet.ClockOffset, data, "{offset: -1h}"},
		{fleet.Isolate, region, ""}, {fleet.Partition, control, "{peer: {region: us-west}}"}, {fleet.Latency, data, "{delay: 400ms, jitter: 20ms}"},
		{fleet.Bandwidth, upstream, "{rate: 4096}"}, {fleet.Reset, data, "{peer: {role: edge}}"}, {fleet.BlackHole, upstream, ""},
		{fleet.StoreWipe, control, ""}, {fleet.StoreCorrupt, control, "{seed: 7}"}, {fleet.DiskFull, control, ""},
		{fleet.LocationDeny, "{instance: nas}", ""}, {fleet.LocationCorrupt, "{instance: local}", "{seed: 7}"}, {fleet.LocationDelete, "{instance: offsite}", ""},
		{fleet.BadConfig, control, ""}, {fleet.KeyWipe, control, ""},
		{fleet.UpstreamError, upstream, ""}, {fleet.UpstreamSlow, upstream, "{delay: 900ms}"},
		{fleet.LoadSpike, data, "{rate: 50}"}, {fleet.ConnectionFlood, data, "{count: 50}"}, {fleet.RetryStorm, data, "{rate: 50, count: 3}"},
	} {
		all[f.kind] = f
	}
	return all
}

// quorumLoss takes a lab of one store: TestQuorumKills.
var quorumLoss = fault{fleet.QuorumLoss, "{role: control}", ""}

// faults returns a case for each kind that the lab itself says it has, so that a new one cannot be forgotten; but quorumLoss.
func faults(t testing.TB) []fault {
	t.Helper()
	known := cases()
	var all []fault
	for _, kind := range slices.DeleteFunc(process.Kinds(), func(k fleet.FaultKind) bool { return k == quorumLoss.kind }) {
		f, ok := known[kind]
		if !ok {
			t.Fatalf("the lab has fault %s, and it has no case here: nobody shows that a kill leaves none of it behind", kind)
		}
		all = append(all, f)
	}
	return all
}

// scenario is a drill of one fault that lasts for as long as hold says: what is measured does not matter here.
func (f fault) scenario(hold string) string {
	with := ""
	if f.with != "" {
		with = ", with: " + f.with
	}
	topology := async
	if f.kind == quorumLoss.kind {
		topology = oneStore
	}
	text := strings.NewReplacer("TARGET", f.target, "TOPOLOGY", topology).Replace(short)
	return strings.ReplaceAll(text, "STEP", fmt.Sprintf("fault: %s, target: it%s, hold: %s", f.kind, with, hold))
}

// The labs that the faults are of.
const (
	async    = "{strategy: warm-standby, regions: [{name: us-east, instances: 1}, {name: us-west, instances: 1}], replication: async}"
	oneStore = "{strategy: active-active, regions: [{name: us-east, instances: 1}, {name: us-west, instances: 1}, " +
		"{name: eu-west, instances: 1}], replication: sync}"
)

const short = `
apiVersion: gwdr/v1
kind: Scenario
metadata: {name: short, title: One fault in a hurry, class: ict-failure}
fleet: lab
topology: TOPOLOGY
targets: {it: {select: TARGET, expect: {min: 1, max: 3}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 1s, probes: [{route: orders, every: 100ms, timeout: 1s, key: live}]}
recovered: {stableFor: 500ms, deadline: 30s}
safety: {lease: 3s, maxTargets: 3, keepHealthyRegions: 0}
steps:
  - {id: it, STEP}
revert: {order: reverse, verify: true, settle: 20s}
`
