package backup

import (
	"fmt"
	"strings"
	"time"
)

// Standing is how one copy stands: what was tested of it, and what it holds.
type Standing struct {
	Copy      Copy
	Domain    string // of failure; empty if unknown
	Immutable bool
	Holds     bool      // a valid point
	Newest    time.Time // of the newest state that it gives
}

// PolicyResult says how far a set of copies meets the 3-2-1 rule. The figures are what was found; each counts distinct
// fault domains only.
type PolicyResult struct {
	Copies    int      `json:"copies"`
	WithLive  int      `json:"copies_with_live"` // some count the gateway's own store as one of the three
	Media     int      `json:"media"`
	Offsite   int      `json:"offsite"`
	Immutable int      `json:"immutable"`
	Simulated bool     `json:"simulated"` // copies on one device were counted as declared
	Satisfied bool     `json:"satisfied"`
	Required  Required `json:"required"`
	Findings  []string `json:"findings"` // what is missing, and what to know of the figures
}

// Required is the policy in JSON.
type Required struct {
	Copies    int     `json:"copies"`
	Media     int     `json:"media"`
	Offsite   int     `json:"offsite"`
	Immutable int     `json:"immutable"`
	MaxAge    float64 `json:"max_age_s"`
	MaxScrub  float64 `json:"max_scrub_s"`
}

// CheckPolicy compares the copies with the policy at the given time. Of copies in one fault domain only the first
// counts, unless the policy is simulated: a lab's copies count as declared, and a finding says that they fail together.
func CheckPolicy(policy Policy, standings []Standing, now time.Time) PolicyResult {
	r := PolicyResult{Findings: []string{}, Required: Required{
		Copies: policy.Copies, Media: policy.Media, Offsite: policy.Offsite, Immutable: policy.Immutable,
		MaxAge: policy.MaxAge.Seconds(), MaxScrub: policy.MaxScrub.Seconds(),
	}}
	media := map[string]bool{}
	for _, s := range r.distinct(policy, standings, now) {
		r.Copies++
		media[s.Copy.Media] = true
		if policy.Site != "" && s.Copy.Site != "" && s.Copy.Site != policy.Site {
			r.Offsite++
		}
		if s.Immutable {
			r.Immutable++
		}
	}
	r.Media, r.WithLive = len(media), r.Copies+1
	r.Satisfied = true
	r.require("copies", r.Copies, policy.Copies)
	r.require("kinds of media", r.Media, policy.Media)
	r.require("copies off-site", r.Offsite, policy.Offsite)
	r.require("immutable copies", r.Immutable, policy.Immutable)
	return r
}

func (r *PolicyResult) require(what string, found, wanted int) {
	if found < wanted {
		r.Satisfied = false
		r.Findings = append(r.Findings, fmt.Sprintf("%d of %d %s", found, wanted, what))
	}
}

// distinct returns the copies that count.
func (r *PolicyResult) distinct(policy Policy, standings []Standing, now time.Time) []Standing {
	var counted []Standing
	domains := map[string][]string{} // names of the copies in each, in order
	for _, s := range standings {
		if !s.Holds {
			continue
		}
		if age := now.Sub(s.Newest); policy.MaxAge > 0 && age > policy.MaxAge {
			r.Findings = append(r.Findings, fmt.Sprintf("%s is not counted: its newest state is %s old", s.Copy.Name, age.Round(time.Second)))
			continue
		}
		shared := len(domains[s.Domain]) > 0 // also of those of whom it is not known
		domains[s.Domain] = append(domains[s.Domain], s.Copy.Name)
		if !shared || policy.Simulated {
			counted = append(counted, s)
		}
		if shared && !policy.Simulated {
			r.Findings = append(r.Findings, fmt.Sprintf("%s is not counted: %s", s.Copy.Name, together(domains[s.Domain][0], s.Domain)))
		}
	}
	if policy.Simulated {
		r.noteSimulation(standings, domains)
	}
	return counted
}

// together says why a copy does not count beside the other.
func together(other, domain string) string {
	if domain == "" {
		return "it is not known of it, nor of " + other + ", what it fails with"
	}
	return fmt.Sprintf("it fails together with %s (%s)", other, domain)
}

// noteSimulation says which copies a lab counts although they fail together.
func (r *PolicyResult) noteSimulation(standings []Standing, domains map[string][]string) {
	for _, s := range standings {
		names := domains[s.Domain]
		if s.Domain == "" || len(names) < 2 || names[0] != s.Copy.Name {
			continue
		}
		r.Simulated = true
		r.Findings = append(r.Findings, fmt.Sprintf("simulated: %s are on one device (%s), so they are one copy, not %d",
			strings.Join(names, ", "), s.Domain, len(names)))
	}
}
