package report

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/probes"
)

// maxBuckets is how many slices of time the chart shows at most.
const maxBuckets = 160

// story arranges the evidence for the charts.
func (b *Bundle) story() story {
	s := story{Zero: b.injected().Seconds(), Marks: b.marks()}
	s.From, s.To = b.observed()
	for _, p := range b.phaseSpans() {
		if p.To > s.From && p.From < s.To {
			s.Phases = append(s.Phases, span{Name: p.Name, From: max(p.From, s.From), To: min(p.To, s.To)})
		}
	}
	s.Marks = slices.DeleteFunc(s.Marks, func(m mark) bool { return m.At < s.From || m.At > s.To })
	s.Tracks = []track{b.track("Data plane", probes.DataPlane), b.track("Admin API", probes.ControlPlane)}
	from, to := seconds(s.From), seconds(s.To)
	s.Bucket = bucketWidth(to-from, maxBuckets)
	for _, g := range b.groups() {
		g.Buckets = inBuckets(b.Facts.Samples, func(name string) bool { return g.Series[name] }, from, to, s.Bucket)
		s.Groups = append(s.Groups, g)
	}
	return s
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// injected returns when the first fault was injected, or 0.
func (b *Bundle) injected() time.Duration {
	first := time.Duration(0)
	for _, f := range b.Facts.Faults {
		if !f.InjectedAt.IsZero() && (first == 0 || f.Injected < first) {
			first = f.Injected
		}
	}
	return first
}

// observed returns the window in which attempts were due, or the whole drill if there were none.
func (b *Bundle) observed() (from, to float64) {
	if len(b.Facts.Samples) == 0 {
		return 0, max(b.Result.Ended.Sub(b.Result.Started).Seconds(), 1)
	}
	first, last := b.Facts.Samples[0].Due, time.Duration(0)
	for i := range b.Facts.Samples {
		first, last = min(first, b.Facts.Samples[i].Due), max(last, b.Facts.Samples[i].Due)
	}
	return first.Seconds(), max(last.Seconds(), first.Seconds()+1)
}

// phaseSpans returns the phases; the last one ends with the drill.
func (b *Bundle) phaseSpans() []span {
	var all []span
	for i, p := range b.Result.Timeline {
		end := max(b.Result.Ended.Sub(b.Result.Started).Seconds(), p.OffsetS)
		if i+1 < len(b.Result.Timeline) {
			end = b.Result.Timeline[i+1].OffsetS
		}
		all = append(all, span{Name: string(p.Phase), From: p.OffsetS, To: end})
	}
	return all
}

// marks returns the faults and the recovery actions, from the journal.
func (b *Bundle) marks() []mark {
	var all []mark
	for _, e := range b.Journal {
		var data struct {
			ID     string        `json:"id"`
			At     time.Duration `json:"at_ns"`
			Action string        `json:"action"`
			Done   bool          `json:"done"`
			Error  string        `json:"error"`
		}
		if json.Unmarshal(e.Data, &data) != nil {
			continue
		}
		switch kind, isFault := strings.CutPrefix(e.Type, "fault-"); {
		case isFault && kind == "injected":
			all = append(all, mark{At: data.At.Seconds(), Text: data.ID + " injected", Class: "injected"})
		case isFault && (kind == "verified" || kind == "reverted") && data.Error == "":
			all = append(all, mark{At: e.OffsetS, Text: data.ID + " " + kind, Class: kind})
		case e.Type == "step" && data.Done && data.Error == "":
			all = append(all, mark{At: e.OffsetS, Text: data.Action + " done", Class: "step"})
		}
	}
	slices.SortStableFunc(all, func(a, b mark) int { return int(1e6 * (a.At - b.At)) })
	return all
}

// track shows the worst series' outages of a plane, and the smallest promise.
func (b *Bundle) track(label string, plane probes.Plane) track {
	t := track{Label: label, Promise: b.promise(plane)}
	worst := b.Result.RTA[string(plane)].Series
	for _, o := range b.Result.Outages {
		if o.Plane != plane || (worst != "" && o.Series != worst) {
			continue
		}
		down := span{Name: human((o.End - o.Start).Seconds()), From: o.Start.Seconds(), To: o.End.Seconds()}
		if o.End == 0 {
			down.Name = "lasts"
			_, down.To = b.observed()
		}
		t.Down = append(t.Down, down)
	}
	return t
}

// promise returns the smallest RTO of a plane in seconds, or 0.
func (b *Bundle) promise(plane probes.Plane) float64 {
	least := 0.0
	for _, o := range b.Scenario.Objectives {
		if o.LE == nil || o.Metric != "rta" || o.Plane != string(plane) {
			continue
		}
		if s := o.LE.D().Seconds(); least == 0 || s < least {
			least = s
		}
	}
	return least
}

// groups sorts the series: data plane on new and on kept-alive connections, and the admin API. Control targets are left
// out.
func (b *Bundle) groups() []group {
	reused, _ := b.traits()
	groups := []group{
		{Label: "Data plane, new connections", Class: "a", Plane: probes.DataPlane, Series: map[string]bool{}},
		{Label: "Data plane, kept-alive connections", Class: "b", Plane: probes.DataPlane, Series: map[string]bool{}},
		{Label: "Admin API", Class: "c", Plane: probes.ControlPlane, Series: map[string]bool{}},
	}
	for _, s := range b.Facts.Series {
		switch {
		case s.Control:
		case s.Plane == probes.ControlPlane:
			groups[2].Series[s.Name] = true
		case reused[s.Name]:
			groups[1].Series[s.Name] = true
		default:
			groups[0].Series[s.Name] = true
		}
	}
	return slices.DeleteFunc(groups, func(g group) bool { return len(g.Series) == 0 })
}

// traits tells from the attempts which series kept their connections, and which expect to be refused with 401.
func (b *Bundle) traits() (reused, refused map[string]bool) {
	reused, refused = map[string]bool{}, map[string]bool{}
	for i := range b.Facts.Samples {
		s := &b.Facts.Samples[i]
		reused[s.Series] = reused[s.Series] || s.Reused
		refused[s.Series] = refused[s.Series] || (s.Status == 401 && answered(s.Class))
	}
	return reused, refused
}

// closeUp returns the close-up of the plane whose recovery tells most: the data plane's, unless only the admin API was
// down. There is none if nothing was injected.
func (b *Bundle) closeUp(s story) (closeUp, bool) {
	if b.injected() == 0 || len(s.Groups) == 0 {
		return closeUp{}, false
	}
	plane := probes.DataPlane
	if b.down(plane) == 0 && b.down(probes.ControlPlane) > 0 {
		plane = probes.ControlPlane
	}
	u := newCloseUp(s, b.Facts.Samples, plane, b.down(plane))
	u.Open = b.down(plane) > 0 && !b.Result.RTA[string(plane)].Recovered
	u.Label = map[probes.Plane]string{probes.DataPlane: "data plane", probes.ControlPlane: "admin API"}[plane]
	return u, len(u.Samples) > 0
}

// down returns the achieved recovery time of a plane that was affected, or how long it was seen not to recover, in
// seconds, or 0.
func (b *Bundle) down(plane probes.Plane) float64 {
	if rta := b.Result.RTA[string(plane)]; rta.Impact != "none" {
		return rta.HighS
	}
	return 0
}

// security counts the answers to requests that had to be refused, over all series that send a revoked key.
func (b *Bundle) security() (refusals, letIn, other int) {
	_, refused := b.traits()
	for i := range b.Facts.Samples {
		switch s := &b.Facts.Samples[i]; {
		case !refused[s.Series] || s.Class == probes.Unknown:
		case answered(s.Class):
			refusals++
		case s.Status >= 200 && s.Status < 300:
			letIn++
		default:
			other++
		}
	}
	return refusals, letIn, other
}

// digests returns the configuration digests of the last stage at which they were taken, by region.
func (b *Bundle) digests() []drills.DigestFact {
	last := map[string]drills.DigestFact{}
	for _, d := range b.Facts.Digests {
		last[d.Region] = d
	}
	return slices.SortedFunc(maps.Values(last), func(a, b drills.DigestFact) int { return strings.Compare(a.Region, b.Region) })
}
