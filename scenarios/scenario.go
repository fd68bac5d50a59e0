// Package scenarios describes drills: what to break, how soon it must work again, and what must hold meanwhile. A
// Scenario is read from YAML, validated and hashed; it never acts.
package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"gwdr/fleet"
	"gwdr/probes"
)

// APIVersion and ScenarioKind head every scenario file.
const (
	APIVersion   = "gwdr/v1"
	ScenarioKind = "Scenario"
)

// Scenario is a scenario file. Field names are those of the YAML.
type Scenario struct {
	APIVersion  string            `yaml:"apiVersion" json:"apiVersion"`
	Kind        string            `yaml:"kind" json:"kind"`
	Metadata    Metadata          `yaml:"metadata" json:"metadata"`
	Fleet       string            `yaml:"fleet" json:"fleet"` // lab, or the name of a fleet in gwdr.yaml
	Topology    Topology          `yaml:"topology" json:"topology"`
	Targets     map[string]Target `yaml:"targets" json:"targets"`
	Objectives  []Objective       `yaml:"objectives" json:"objectives"`
	SLO         SLO               `yaml:"slo,omitempty" json:"slo,omitzero"`
	SteadyState SteadyState       `yaml:"steadyState" json:"steadyState"`
	Recovered   Recovered         `yaml:"recovered" json:"recovered"`
	Guardrails  []Guardrail       `yaml:"guardrails,omitempty" json:"guardrails,omitempty"`
	Safety      Safety            `yaml:"safety" json:"safety"`
	Steps       []Step            `yaml:"steps" json:"steps"`
	Revert      Revert            `yaml:"revert" json:"revert"`
	Report      Report            `yaml:"report,omitempty" json:"report,omitzero"`
}

// Metadata says what the scenario is for.
type Metadata struct {
	Name        string   `yaml:"name" json:"name"`
	Title       string   `yaml:"title" json:"title"`
	Description string   `yaml:"description,omitempty" json:"description,omitempty"`
	Class       string   `yaml:"class" json:"class"` // RTS 2024/1774 art. 26(2): ict-failure, cyber, ...
	Tags        []string `yaml:"tags,omitempty" json:"tags,omitempty"`
	Owner       string   `yaml:"owner,omitempty" json:"owner,omitempty"`
	BIA         string   `yaml:"bia,omitempty" json:"bia,omitempty"`
	FalsePass   []string `yaml:"falsePass,omitempty" json:"falsePass,omitempty"` // what could make it pass falsely
}

// Topology is the lab that the scenario needs. Replication is none, async or sync.
type Topology struct {
	Strategy    string   `yaml:"strategy" json:"strategy"`
	Regions     []Region `yaml:"regions" json:"regions"`
	Replication string   `yaml:"replication" json:"replication"`
}

// Region is a region of the lab with its number of data instances; a control plane comes with each.
type Region struct {
	Name      string `yaml:"name" json:"name"`
	Instances int    `yaml:"instances" json:"instances"`
}

// Target is a named selection of instances, how many it may match, and how many of those are picked.
type Target struct {
	Select fleet.Selector `yaml:"select" json:"select"`
	Expect Expect         `yaml:"expect,omitempty" json:"expect,omitzero"`
	Pick   Pick           `yaml:"pick,omitempty" json:"pick,omitzero"`
}

// Pick draws Count of the instances that match; 0 takes all. The same seed draws the same ones of the same instances.
type Pick struct {
	Count int    `yaml:"count,omitempty" json:"count,omitempty"`
	Seed  uint64 `yaml:"seed,omitempty" json:"seed,omitempty"` // 0: DrawSeeds has yet to draw one
}

// Expect bounds a number of instances; Max 0 is no bound.
type Expect struct {
	Min int `yaml:"min,omitempty" json:"min,omitempty"`
	Max int `yaml:"max,omitempty" json:"max,omitempty"`
}

// Objective is a promise that is judged: a metric and its bound. Exactly one of LE and EQ is set.
type Objective struct {
	ID     string    `yaml:"id" json:"id"`
	Metric string    `yaml:"metric" json:"metric"` // rta, rpa, resurrected, failed
	Plane  string    `yaml:"plane,omitempty" json:"plane,omitempty"`
	LE     *Duration `yaml:"le,omitempty" json:"le,omitempty"` // rta, rpa
	EQ     *int64    `yaml:"eq,omitempty" json:"eq,omitempty"` // resurrected, failed (idempotent requests that failed)
	// AfterFault takes it for a recovery, too, if the plane comes back only after a fault has ended by itself; rta.
	AfterFault bool `yaml:"afterFault,omitempty" json:"afterFault,omitempty"`
}

// SLO is what clients were promised of every day: the drill says how much of its error budget it spent. It is not judged.
type SLO struct {
	Target float64  `yaml:"target,omitempty" json:"target,omitempty"` // least percentage of good requests
	Window Duration `yaml:"window,omitempty" json:"window,omitempty"` // for which the budget must do
}

// DefaultSLO is assumed where a scenario states none: three nines of thirty days are 43 minutes and 12 seconds.
func DefaultSLO() SLO { return SLO{Target: 99.9, Window: Duration(30 * 24 * time.Hour)} }

// The metrics of an Objective.
const (
	MetricRTA         = "rta"
	MetricRPA         = "rpa"
	MetricResurrected = "resurrected"
	MetricFailed      = "failed"
)

// The values of Step.Recover.
const (
	Promote = "promote"
	Restore = "restore"
)

// The values of Probe.Key.
const (
	LiveKey    = "live"
	RevokedKey = "revoked"
	NoKey      = "none"
)

// Detected is the value of Step.When that waits until the measurement shows an outage.
const Detected = "detected"

// SteadyState is what must hold before, and what is measured throughout.
type SteadyState struct {
	Baseline Duration `yaml:"baseline" json:"baseline"`
	Probes   []Probe  `yaml:"probes" json:"probes"`
	Ledger   Ledger   `yaml:"ledger,omitempty" json:"ledger,omitzero"`
	// Backup is when, after the baseline began, a backup is taken as a schedule would: the changes made after it are
	// what a restore loses. 0 means none.
	Backup Duration `yaml:"backup,omitempty" json:"backup,omitzero"`
}

// Probe is one request that is sent again and again, fresh and on kept-alive connections.
type Probe struct {
	Route   string   `yaml:"route" json:"route"`
	Every   Duration `yaml:"every,omitempty" json:"every,omitempty"`
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
	Key     string   `yaml:"key,omitempty" json:"key,omitempty"` // live, revoked or none
	Expect  Answer   `yaml:"expect,omitempty" json:"expect,omitzero"`
}

// Answer is what a probe expects; Status 0 is 200. A header has a value or /REGEX/, or nothing to take any value; the body
// contains Body, or matches /REGEX/.
type Answer struct {
	Status int               `yaml:"status,omitempty" json:"status,omitempty"`
	Header map[string]string `yaml:"header,omitempty" json:"header,omitempty"`
	Body   string            `yaml:"body,omitempty" json:"body,omitempty"`
}

// Expectation returns what the answer must be, beyond its status.
func (a Answer) Expectation() (want probes.Expectation, err error) {
	for _, name := range slices.Sorted(maps.Keys(a.Header)) {
		if !httpguts.ValidHeaderFieldName(name) {
			return want, fmt.Errorf("header %q is no name of a header", name)
		}
		if err := want.AddHeader(name + ": " + a.Header[name]); err != nil {
			return want, fmt.Errorf("header %w", err)
		}
	}
	if a.Body != "" {
		if err := want.SetBody(a.Body); err != nil {
			return want, fmt.Errorf("body: %w", err)
		}
	}
	return want, nil
}

// Ledger says how often the change ledger makes a change, and of which kinds, in turn.
type Ledger struct {
	Every Duration `yaml:"every" json:"every"`
	Kinds []string `yaml:"kinds" json:"kinds"` // of probes.ChangeKinds
}

// Recovered is the predicate that ends the observation.
type Recovered struct {
	StableFor Duration `yaml:"stableFor" json:"stableFor"`
	Deadline  Duration `yaml:"deadline" json:"deadline"` // from the first injection
}

// Guardrail must never break; a breach aborts and reverts. Either Success or Drill is set.
type Guardrail struct {
	Name    string         `yaml:"name" json:"name"`
	Select  fleet.Selector `yaml:"select,omitempty" json:"select,omitzero"` // of instances that are probed directly
	Success *SuccessBelow  `yaml:"success,omitempty" json:"success,omitempty"`
	Drill   *LongerThan    `yaml:"drill,omitempty" json:"drill,omitempty"`
}

// SuccessBelow is breached when the share of ok answers stays below LT for For.
type SuccessBelow struct {
	LT  float64  `yaml:"lt" json:"lt"`
	For Duration `yaml:"for" json:"for"`
}

// LongerThan is breached when the drill takes longer than GT.
type LongerThan struct {
	GT Duration `yaml:"gt" json:"gt"`
}

// Safety bounds what the drill may do.
type Safety struct {
	Lease              Duration `yaml:"lease" json:"lease"` // of each fault, renewed by the controller
	MaxTargets         int      `yaml:"maxTargets" json:"maxTargets"`
	KeepHealthyRegions int      `yaml:"keepHealthyRegions" json:"keepHealthyRegions"`
	BackupFreshness    Duration `yaml:"backupFreshness,omitempty" json:"backupFreshness,omitempty"`
	Bounds             `yaml:",inline"`
}

// Bounds are what no drill may cross: those of a scenario, and those of gwdr.yaml, which hold for every one.
type Bounds struct {
	Windows  []Window         `yaml:"windows,omitempty" json:"windows,omitempty"`   // a drill must fit into one; none: at any time
	Blackout []Blackout       `yaml:"blackout,omitempty" json:"blackout,omitempty"` // no drill on these days
	Protect  []fleet.Selector `yaml:"protect,omitempty" json:"protect,omitempty"`   // instances that no fault may touch
}

// Step either injects Fault into Target, or makes a recovery action.
type Step struct {
	ID      string       `yaml:"id" json:"id"`
	Fault   string       `yaml:"fault,omitempty" json:"fault,omitempty"`     // a fleet.FaultKind
	With    fleet.Params `yaml:"with,omitempty" json:"with,omitzero"`        // how much of the fault
	Target  string       `yaml:"target,omitempty" json:"target,omitempty"`   // a name of Targets
	Hold    string       `yaml:"hold,omitempty" json:"hold,omitempty"`       // until-recovered (default), until-recovered+5s, 10s
	Stagger Duration     `yaml:"stagger,omitempty" json:"stagger,omitempty"` // from one instance to the next; 0: all at once
	Repeat  Repeat       `yaml:"repeat,omitempty" json:"repeat,omitzero"`
	Recover string       `yaml:"recover,omitempty" json:"recover,omitempty"` // promote or restore
	To      string       `yaml:"to,omitempty" json:"to,omitempty"`           // a region
	After   string       `yaml:"after,omitempty" json:"after,omitempty"`     // a step above, whose end When counts from
	When    string       `yaml:"when,omitempty" json:"when,omitempty"`       // a delay after the first injection; recover: detected (default)
}

// Repeat injects a step's fault again and again; Times 0 is once.
type Repeat struct {
	Times int      `yaml:"times,omitempty" json:"times,omitempty"`
	Every Duration `yaml:"every,omitempty" json:"every,omitempty"` // from one beginning to the next
}

// Revert says how the faults end.
type Revert struct {
	Order    string   `yaml:"order,omitempty" json:"order,omitempty"` // reverse
	Verify   bool     `yaml:"verify" json:"verify"`
	Settle   Duration `yaml:"settle" json:"settle"` // how long the steady state may take to come back
	Failback string   `yaml:"failback,omitempty" json:"failback,omitempty"`
}

// Report says what is written beside the evidence.
type Report struct {
	Formats  []string `yaml:"formats,omitempty" json:"formats,omitempty"`
	Sign     bool     `yaml:"sign,omitempty" json:"sign,omitempty"`
	Controls []string `yaml:"controls,omitempty" json:"controls,omitempty"`
}
