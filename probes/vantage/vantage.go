// Package vantage probes from other hosts: an Agent there makes the attempts of a Plan, and a Session here takes its samples
// and reads its clock.
package vantage

import (
	"errors"
	"fmt"
	"time"

	"gwdr/probes"
)

// Schema names the protocol: the paths below, what they take and what they answer. It changes whenever an agent and a
// controller of different versions would misunderstand each other.
//
//	GET    /v1                          Hello, without a session
//	POST   /v1/sessions                 Plan; answers Opened. The agent probes from then on
//	POST   /v1/sessions/ID/clock        Beat; answers Clock. Keeps the lease
//	GET    /v1/sessions/ID/samples?from=N  Batch, one a line, until the session has ended and all were sent
//	DELETE /v1/sessions/ID              ends the probing
//
// Each needs the token as a bearer. An error is {"error": TEXT}.
const Schema = "gwdr/vantage/v1"

// The bounds of what an agent takes on.
const (
	maxSeries   = 64
	maxName     = 128
	maxSeriesHz = 1000 // attempts a second of one series: few, as somebody else pays for them
	maxPlan     = 1 << 20
)

// Plan is what an agent is to do. It may hold credentials: it is sent over TLS or the loopback only, and kept in memory only.
type Plan struct {
	Schema string        `json:"schema"`
	For    time.Duration `json:"for_ns,omitempty"` // 0 is as long as the agent allows
	Series []Series      `json:"series"`
}

// Series is a stream of attempts. One of a control target has no Target: the agent serves one itself.
type Series struct {
	probes.Series
	Target *Target `json:"target,omitempty"`
}

// Hello says who answers.
type Hello struct {
	Schema string `json:"schema"`
	Tool   string `json:"tool"`
}

// Opened is the agent's answer to a plan.
type Opened struct {
	Schema  string        `json:"schema"`
	ID      string        `json:"id"`      // of the session
	Control string        `json:"control"` // URL of the agent's own control target
	Lease   time.Duration `json:"lease_ns"`
}

// Beat tells the agent that the controller lives, and how many samples it has.
type Beat struct {
	Received int64 `json:"received"` // samples before this index need not be kept
}

// Clock is what the agent's clock shows.
type Clock struct {
	Now   time.Duration `json:"now_ns"`   // since the session's t0, monotonic
	Drift time.Duration `json:"drift_ns"` // of the monotonic against the wall clock since then
}

// Batch is a line of the stream: samples that have ended by Now, indexed from First on without a gap.
type Batch struct {
	First   int64           `json:"first"`
	Now     time.Duration   `json:"now_ns"`
	Samples []probes.Sample `json:"samples,omitempty"`
	End     End             `json:"end,omitempty"` // only of the last
}

// End says why a session has ended.
type End string

// The ends of a session.
const (
	Stopped    End = "stopped"    // the controller asked for it
	Lapsed     End = "lapsed"     // nothing was heard of the controller for the lease
	Overdue    End = "overdue"    // the plan's or the agent's time was over
	Terminated End = "terminated" // the agent was ended
	Broken     End = "broken"     // a prober could not run
)

func (e End) known() bool {
	switch e {
	case "", Stopped, Lapsed, Overdue, Terminated, Broken:
		return true
	}
	return false
}

// Validate returns an error for a plan that no agent takes on.
func (p *Plan) Validate() error {
	switch {
	case p.Schema != Schema:
		return &VersionError{Mine: Schema, Other: p.Schema}
	case p.For < 0:
		return errors.New("the time to probe is negative")
	case len(p.Series) == 0 || len(p.Series) > maxSeries:
		return fmt.Errorf("%d series, not between 1 and %d", len(p.Series), maxSeries)
	}
	names := map[string]bool{}
	for _, s := range p.Series {
		if names[s.Name] {
			return fmt.Errorf("series %q is there twice", s.Name)
		}
		names[s.Name] = true
		if err := s.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Series) validate() error {
	switch {
	case s.Name == "" || len(s.Name) > maxName:
		return fmt.Errorf("the name of a series has %d bytes, not 1 to %d", len(s.Name), maxName)
	case s.Interval < time.Second/maxSeriesHz:
		return fmt.Errorf("series %q: an attempt each %s is more than %d a second", s.Name, s.Interval, maxSeriesHz)
	case s.Control && s.Interval < probes.MinLimit/4: // nobody plans that: see probes.ControlSeries
		return fmt.Errorf("series %q: an attempt each %s is more than a control target is for", s.Name, s.Interval)
	case s.Interval > time.Hour || s.Timeout <= 0 || s.Timeout > time.Minute:
		return fmt.Errorf("series %q: interval %s or timeout %s is out of bounds", s.Name, s.Interval, s.Timeout)
	case (s.Target == nil) != s.Control:
		return fmt.Errorf("series %q: only a control series goes without a target", s.Name)
	case s.Target == nil:
		return nil
	}
	r, err := s.Target.Request()
	if err != nil {
		return fmt.Errorf("series %q: %w", s.Name, err)
	}
	if s.Interval < time.Second/probes.MaxFreshRate && r.Connects() {
		return fmt.Errorf("series %q: an attempt each %s is more than %d new connections a second", s.Name, s.Interval, probes.MaxFreshRate)
	}
	return nil
}

// VersionError says that the other side speaks another version of the protocol.
type VersionError struct{ Mine, Other string }

// Error names both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("speaks %q, not %q: gwdr must be of the same version on both hosts", e.Other, e.Mine)
}
