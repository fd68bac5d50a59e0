package drills

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"gwdr/probes"
)

// expirySoon is how long before a certificate expires a watch warns of it.
const expirySoon = 14 * 24 * time.Hour

// WatchPhases is how long the steps of a series' good attempts took; a step that none had is left out.
type WatchPhases struct {
	DNS       *PhaseTime `json:"dns,omitempty"`
	Connect   *PhaseTime `json:"connect,omitempty"`
	TLS       *PhaseTime `json:"tls,omitempty"`
	FirstByte *PhaseTime `json:"first_byte,omitempty"` // from having a connection
}

// PhaseTime is how long one step took.
type PhaseTime struct {
	Count int64   `json:"count"` // attempts that had it
	P50S  float64 `json:"p50_s"`
	P99S  float64 `json:"p99_s"`
}

// WatchTLS is what the handshakes of a series showed.
type WatchTLS struct {
	Versions map[string]int `json:"versions,omitempty"` // handshakes by version
	Refused  map[string]int `json:"refused,omitempty"`  // certificates by probes.TLSProblem
	// When the server's certificate expires. If it had several, for example because it was replaced: the first, and the last.
	NotAfter     time.Time `json:"not_after,omitzero"`
	NotAfterLast time.Time `json:"not_after_last,omitzero"`
}

func watchPhases(samples []probes.Sample, from time.Duration) *WatchPhases {
	p := probes.PhasesOf(samples, from, 1<<63-1)
	phases := WatchPhases{phaseTime(p.DNS), phaseTime(p.Connect), phaseTime(p.Handshake), phaseTime(p.FirstByte)}
	if phases == (WatchPhases{}) {
		return nil
	}
	return &phases
}

func phaseTime(l probes.Latency) *PhaseTime {
	if l.Count == 0 {
		return nil
	}
	return &PhaseTime{Count: l.Count, P50S: l.P50.Seconds(), P99S: l.P99.Seconds()}
}

// watchTLS returns nil if there was no handshake.
func watchTLS(samples []probes.Sample) *WatchTLS {
	t := &WatchTLS{Versions: map[string]int{}, Refused: map[string]int{}}
	var last time.Time
	for i := range samples {
		s := samples[i].TLS
		if s == nil {
			continue
		}
		if s.Version != "" {
			t.Versions[s.Version]++
		}
		if s.Problem != "" {
			t.Refused[string(s.Problem)]++
		}
		if s.NotAfter.IsZero() {
			continue
		}
		if t.NotAfter.IsZero() || s.NotAfter.Before(t.NotAfter) {
			t.NotAfter = s.NotAfter
		}
		if s.NotAfter.After(last) {
			last = s.NotAfter
		}
	}
	if !last.Equal(t.NotAfter) {
		t.NotAfterLast = last
	}
	if len(t.Versions) == 0 && len(t.Refused) == 0 {
		return nil
	}
	return t
}

// problemText says why a certificate was refused.
func problemText(p string) string {
	switch probes.TLSProblem(p) {
	case probes.Expired:
		return "it has expired, or is not valid yet"
	case probes.WrongHost:
		return "it is of another host"
	case probes.UnknownAuthority:
		return "its authority is not known here"
	}
	return "it is invalid"
}

// warnings says what is amiss with the certificates of the targets, as of the end of the watch: once for each target.
func (j *watchJudgement) warnings() {
	seen := map[string]bool{}
	for i, s := range j.result.Series {
		if s.TLS == nil {
			continue
		}
		name := "certificate of " + j.facts.Plan.Targets[j.facts.Plan.Series[i].Target].URL
		var texts []string
		for _, problem := range slices.Sorted(maps.Keys(s.TLS.Refused)) {
			texts = append(texts, fmt.Sprintf("%s was refused: %s", name, problemText(problem)))
		}
		if left := s.TLS.NotAfter.Sub(j.facts.Ended); !s.TLS.NotAfter.IsZero() && left < expirySoon {
			texts = append(texts, fmt.Sprintf("%s %s, on %s", name, expiry(left), s.TLS.NotAfter.UTC().Format("2006-01-02 15:04 UTC")))
		}
		for _, text := range texts {
			if !seen[text] {
				seen[text] = true
				j.result.Warnings = append(j.result.Warnings, text)
			}
		}
	}
}

// expiry says how far away it is, of a certificate with that much time left.
func expiry(left time.Duration) string {
	unit, n := "hour", int(left.Abs().Hours())
	if n >= 48 {
		unit, n = "day", n/24
	}
	if n != 1 {
		unit += "s"
	}
	if left < 0 {
		return fmt.Sprintf("expired %d %s ago", n, unit)
	}
	return fmt.Sprintf("expires in %d %s", n, unit)
}
