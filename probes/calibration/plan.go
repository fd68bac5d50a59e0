package calibration

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Plan says how a calibration is made.
type Plan struct {
	Rounds   int           // outages of each kind
	Interval time.Duration // 1/R
	Timeout  time.Duration // of an attempt
	Baseline time.Duration // before each outage
	Stable   time.Duration // so long ok attempts show that it is over
	Shortest time.Duration // outage; a brown-out is longer by 40 intervals
	Longest  time.Duration
}

// The rates that make sense: below, a calibration takes forever; above, it measures the machine.
const (
	MinRate = 5.0
	MaxRate = 500.0
)

// The lengths of a plan, each of which is longer where attempts are rare.
const (
	baselineAttempts = 40
	stableAttempts   = 25
	surelyDown       = 10 // attempts in a row make a series down, whatever the delay at the edges
	surelyBrown      = 40 // of so many, half of which fail at random, at least five do
)

// NewPlan returns the plan for so many outages of each kind and attempts per second of each series.
func NewPlan(rounds int, rate float64) (Plan, error) {
	if rounds < 1 {
		return Plan{}, fmt.Errorf("%d rounds: there must be at least one", rounds)
	}
	if !(rate >= MinRate && rate <= MaxRate) {
		return Plan{}, fmt.Errorf("rate %v is not between %v and %v attempts a second", rate, MinRate, MaxRate)
	}
	interval := time.Duration(float64(time.Second) / rate)
	p := Plan{
		Rounds: rounds, Interval: interval, Timeout: max(time.Second, 2*interval),
		Baseline: max(800*time.Millisecond, baselineAttempts*interval), Stable: max(500*time.Millisecond, stableAttempts*interval),
		Shortest: max(200*time.Millisecond, surelyDown*interval),
	}
	p.Longest = p.Shortest + time.Second
	return p, nil
}

// Duration is about how long it takes.
func (p Plan) Duration(kinds int) time.Duration {
	return time.Duration(p.Rounds*kinds) * (p.Baseline + p.Stable + (p.Shortest+p.Longest)/2 + surelyBrown*p.Interval/5)
}

// step is an outage to be made: wait for so long once the baseline holds, then be down for length.
type step struct {
	fault        Fault
	wait, length time.Duration
}

// steps draws all outages, each round in an order of its own. The same seed draws the same.
func (p Plan) steps(faults []Fault, seed uint64) []step {
	random := rand.New(rand.NewPCG(seed, 0))
	var all []step
	for range p.Rounds {
		for _, i := range random.Perm(len(faults)) {
			s := step{fault: faults[i], wait: rand64(random, 2*p.Interval), length: p.Shortest + rand64(random, p.Longest-p.Shortest)}
			if s.fault.Kind == Brownout {
				s.length += surelyBrown * p.Interval
			}
			all = append(all, s)
		}
	}
	return all
}

func rand64(random *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(below)))
}
