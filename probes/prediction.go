package probes

import (
	"math"
	"time"
)

// Spread is what a time may be: from Best to Worst, and Mean on the average of many.
type Spread struct {
	Best  time.Duration `json:"best_ns"`
	Mean  time.Duration `json:"mean_ns"`
	Worst time.Duration `json:"worst_ns"`
}

// Even returns the spread of a time that is anywhere from low to high with equal probability.
func Even(low, high time.Duration) Spread { return Spread{low, low + (high-low)/2, high} }

// Add returns the spread of a time that is followed by another one, which does not depend on it.
func (s Spread) Add(o Spread) Spread {
	return Spread{s.Best + o.Best, s.Mean + o.Mean, s.Worst + o.Worst}
}

// Watcher asks at a fixed pace, and knows that something has changed once so many answers in a row said so.
type Watcher struct {
	Name  string
	Every time.Duration // between two that begin
	Count int           // in a row that it takes, at least 1
	// Sources is how many ask, each at that pace and with a phase of its own, if they are counted together; 0 is one.
	Sources int
	// Answer is how long one takes to tell: next to nothing where connections are refused, its timeout where nothing answers.
	Answer Spread
	// Waits says that the next one only begins when the one before has its answer, as health checks do. Attempts that are
	// sent on schedule, whatever became of earlier ones, do not wait.
	Waits bool
}

// Notices returns how long after the change the watcher knows of it. The change comes at a random instant between two of
// its questions, the first of which to meet it begins up to Every later:
//
//	best  =           (Count-1) × P + Answer      P = Every, or Answer where that is longer and it waits
//	mean  = Every/2 + (Count-1) × P + Answer
//	worst = Every   + (Count-1) × P + Answer
//
// Of n sources, Count is reached after q whole rounds by the r-th to ask in the next one, Count = q × n + r: q replaces Count-1,
// and r/(n+1) the half, which is the mean of the r-th smallest of n random phases.
func (w Watcher) Notices() Spread {
	rounds, rank, sources := w.turns()
	return Spread{
		Best:  rounds*w.period(w.Answer.Best) + w.Answer.Best,
		Mean:  w.Every*time.Duration(rank)/time.Duration(sources+1) + rounds*w.period(w.Answer.Mean) + w.Answer.Mean,
		Worst: w.Every + rounds*w.period(w.Answer.Worst) + w.Answer.Worst,
	}
}

// turns returns after how many whole rounds, as the how manieth of the next one, and of how many sources it is enough.
func (w Watcher) turns() (rounds time.Duration, rank, sources int) {
	sources = max(w.Sources, 1)
	return time.Duration((w.Count - 1) / sources), (w.Count-1)%sources + 1, sources
}

func (w Watcher) period(answer time.Duration) time.Duration {
	if w.Waits {
		return max(w.Every, answer)
	}
	return w.Every
}

// Soonest returns how long after the change the first of the watchers, whose phases do not depend on each other, knows of
// it. There must be one. Best and Worst are those of the quickest; Mean is the integral of the probability that none of
// them knows yet.
func Soonest(watchers ...Watcher) Spread {
	first := watchers[0].Notices()
	last := first.Worst
	for _, w := range watchers[1:] {
		n := w.Notices()
		first.Best, last = min(first.Best, n.Best), min(last, n.Worst)
	}
	first.Worst = last
	if len(watchers) > 1 {
		first.Mean = meanOfSoonest(watchers, first.Best, last)
	}
	return first
}

// integralParts is into how many parts the mean's integral is cut.
const integralParts = 2000

func meanOfSoonest(watchers []Watcher, from, to time.Duration) time.Duration {
	step := float64(to-from) / integralParts
	mean := float64(from)
	for i := range integralParts {
		at := float64(from) + (float64(i)+0.5)*step
		unknown := 1.0
		for _, w := range watchers {
			unknown *= w.unaware(at)
		}
		mean += unknown * step
	}
	return time.Duration(math.Round(mean))
}

// unaware is the probability that the watcher does not know yet: that fewer than rank of the phases have passed, with each
// answer at its mean.
func (w Watcher) unaware(at float64) float64 {
	rounds, rank, sources := w.turns()
	passed := (at - float64(rounds*w.period(w.Answer.Mean)+w.Answer.Mean)) / float64(w.Every)
	passed = min(max(passed, 0), 1)
	fewer, ways := 0.0, 1.0
	for i := range rank {
		fewer += ways * math.Pow(passed, float64(i)) * math.Pow(1-passed, float64(sources-i))
		ways *= float64(sources-i) / float64(i+1)
	}
	return fewer
}

// Setup is what is configured, or known from before, of how a plane of a gateway comes back after a fault.
type Setup struct {
	// Effect is how long the fault takes to be there, from the instant from which recovery is counted.
	Effect Spread
	// Notice is how long it then takes until somebody notices who does something: Soonest of all who can.
	Notice Spread
	// Repeated says that each request that meets the fault is made again elsewhere at once: no client is affected, however
	// long it takes to notice.
	Repeated bool
	Act      Spread        // what is then done takes so long: a promotion, a restore
	Readmit  *Watcher      // who must see that it works again before requests are sent there; nil: nobody
	TTL      time.Duration // for so long clients keep an address that does not work any more
}

// Prediction is what is to be expected of a Setup, from the instant from which recovery is counted.
type Prediction struct {
	Detection Spread
	Recovery  Spread // until a request that is sent then is answered rightly
}

// Predict adds up
//
//	detection = effect + notice
//	recovery  = detection + action + readmission + what is left of the TTL, evenly from none to all of it
//
// It is a pure function.
func Predict(s Setup) Prediction {
	p := Prediction{Detection: s.Effect.Add(s.Notice)}
	if s.Repeated {
		return p
	}
	p.Recovery = p.Detection.Add(s.Act).Add(Even(0, s.TTL))
	if s.Readmit != nil {
		p.Recovery = p.Recovery.Add(s.Readmit.Notices())
	}
	return p
}
