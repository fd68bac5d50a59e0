package drills

// Phase is a state of the drill's lifecycle.
type Phase string

// The phases, in their order. A guardrail, a signal, a lost lease or the deadline leads from Armed or later to Aborting,
// and from there to Reverting.
const (
	Planned     Phase = "planned"
	Validated   Phase = "validated"
	Preflight   Phase = "preflight"
	Announced   Phase = "announced"
	Baseline    Phase = "baseline"
	Armed       Phase = "armed"
	Injecting   Phase = "injecting"
	Observing   Phase = "observing"
	Recovering  Phase = "recovering"
	Recovered   Phase = "recovered"
	Sustain     Phase = "sustain"
	Aborting    Phase = "aborting"
	Reverting   Phase = "reverting"
	Settling    Phase = "settling"
	Failback    Phase = "failback"
	Reconciling Phase = "reconciling"
	Clean       Phase = "clean"
	Dirty       Phase = "dirty"
	Reported    Phase = "reported"
)
