package probes

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const limit = 100 * ms

// estimate judges a script with a stability window of 1 s (50 samples), the fault being injected at the given sample.
func estimate(inject int, steps ...string) Estimate {
	w := Window{Inject: time.Duration(inject) * tick, Stable: time.Second, Limit: limit}
	return EstimateOutage(orders, script(steps...), w)
}

func TestDownIsThreeInARowOrFiveOfFifty(t *testing.T) {
	for name, c := range map[string]struct {
		steps string
		down  bool
	}{
		"two in a row":              {"1.xx9.", false},
		"three in a row":            {"1.xxx9.", true},
		"slow ones count":           {"1.xsx9.", true},
		"one not made between":      {"1.xx?x9.", true},
		"only not made":             {"1.????9.", false},
		"five of fifty":             {"1.x1.x1.x1.x1.x9.", true},
		"four of fifty":             {"1.x1.x1.x1.x9.", false},
		"five of more than fifty":   {"1.x..1.x..1.x..1.x..1.x9.", false},
		"every other":               {"1.x.x.x.x.x9.", true},
		"nothing ever works":        {"5x", true},
		"pairs, wide apart":         {"1.xx5.xx5.xx9.", false},
		"four, then five after all": {"1.x.x.x.x3.x9.", true},
	} {
		if got := len(estimate(0, c.steps).Outages) > 0; got != c.down {
			t.Errorf("%s: down = %v, want %v", name, got, c.down)
		}
	}
}

func TestOutagesAreDatedBack(t *testing.T) {
	at := func(n int) time.Duration { return time.Duration(n) * tick }
	for name, c := range map[string]struct {
		steps string
		want  Outage
	}{
		"from the first affected to the first ok one": {"1.9x9.", Outage{
			Start: at(10), End: at(100), Low: at(89) - limit, High: at(91) + ms, Affected: 90}},
		"a relapse within the window is merged": {"1.1x1.xx9.", Outage{
			Start: at(10), End: at(32), Low: at(21) - limit, High: at(23) + ms, Affected: 12, Flaps: 1}},
		"five of fifty begin with the first of them": {"1.x.x.x.x.x9.", Outage{
			Start: at(10), End: at(19), Low: at(8) - limit, High: at(10) + ms, Affected: 5}},
		"an attempt not made is not health": {"1?..??1x???9.", Outage{
			Start: at(14), End: at(27), Low: at(9) - limit, High: at(16) + ms, Affected: 10}},
		"one that lasts has no end":             {"1.9x", Outage{Start: at(10), Low: at(89) - limit, Affected: 90}},
		"one that ends too late for the window": {"1.9x3.", Outage{Start: at(10), Low: at(89) - limit, Affected: 90}},
	} {
		c.want.Series, c.want.Plane, c.want.Low = "orders", DataPlane, max(0, c.want.Low)
		if diff := cmp.Diff([]Outage{c.want}, estimate(0, c.steps).Outages); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestRTA(t *testing.T) {
	at := func(n int) time.Duration { return time.Duration(n) * tick }
	for name, c := range map[string]struct {
		steps     string // injected at sample 50
		impact    Impact
		recovered bool
		low, high time.Duration
	}{
		"no impact":                  {"5.9.", NoImpact, true, 0, 0},
		"an outage":                  {"5.2x9.", OutageImpact, true, at(19), at(20) + ms},
		"an outage that begins late": {"5.1.2x9.", OutageImpact, true, at(29), at(30) + ms},
		"a blip":                     {"5..xx9.", BlipImpact, true, at(2), at(3) + ms},
		"one affected of a hundred is a blip too": {"5..x9.", BlipImpact, true, at(1), at(2) + ms},
		"a stray one after it was stable":         {"5.9.x9.", NoImpact, true, 0, 0},
		"a second outage under the fault counts":  {"5.1x9.1x9.", OutageImpact, true, at(109), at(110) + ms},
		"an outage of the baseline does not":      {"1.3x9.9.9.", OutageImpact, true, 0, 0},
		"never back":                              {"5.9x", OutageImpact, false, at(89), at(89) + ms},
		"back, but not for long enough":           {"5.2x4.", OutageImpact, false, at(19), at(59) + ms},
		"not observed for long enough":            {"5.4.", NoImpact, false, 0, at(39) + ms},
		"one in twenty fails for ever: not down, not recovered": {
			"5." + strings.Repeat("..................."+"x", 12), BlipImpact, false, at(239), at(239) + ms},
	} {
		inject := 50
		if name == "an outage of the baseline does not" {
			inject, c.impact = 130, NoImpact
		}
		r := estimate(inject, c.steps).RTA
		got := RTA{Impact: r.Impact, Recovered: r.Recovered, Low: r.Low, High: r.High}
		want := RTA{Impact: c.impact, Recovered: c.recovered, Low: c.low, High: c.high}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestAnAttemptInFlightAtTheInjectionCounts(t *testing.T) {
	samples := script("5.9.")
	samples[49].Class, samples[49].Done = FailReset, 50*tick+ms
	w := Window{Inject: 50*tick - 5*ms, Stable: time.Second, Limit: limit}
	r := EstimateOutage(orders, samples, w).RTA
	if r.Impact != BlipImpact || r.Low != 0 || r.High != 6*ms {
		t.Errorf("%+v, want a blip of 0 to 6 ms", r)
	}
}

func TestWhatComesAfterTheFaultDoesNotCount(t *testing.T) {
	w := Window{Inject: 50 * tick, Until: 140 * tick, Stable: time.Second, Limit: limit}
	if r := EstimateOutage(orders, script("5.1x8.5x9."), w).RTA; !r.Recovered || r.High != 10*tick+ms {
		t.Errorf("%+v, want recovered after 201 ms", r)
	}
	if r := EstimateOutage(orders, script("5.9x9."), w).RTA; r.Recovered || r.High != 89*tick+ms {
		t.Errorf("%+v, want not recovered: only the end of the fault brought it back", r)
	}
}

func TestBreakdown(t *testing.T) {
	r := estimate(50, "5...2x9.").RTA
	want := []time.Duration{52 * tick, 72*tick + ms}
	if got := []time.Duration{r.FirstAffected, r.FirstOK}; !cmp.Equal(want, got) {
		t.Errorf("first affected and first ok = %v, want %v", got, want)
	}
	if low, high := 120*tick, 123*tick; r.StableAt < low || r.StableAt > high {
		t.Errorf("stable at %v, want about a second after the first ok", r.StableAt)
	}
	if r.Error != tick+limit {
		t.Errorf("error = %v, want 1/R + L", r.Error)
	}
}

func TestCountsAndLatencies(t *testing.T) {
	e := estimate(50, "5.xxss??9.")
	if want := (Counts{Sent: 144, OK: 140, Slow: 2, Failed: 2, Unknown: 2}); e.Counts != want {
		t.Errorf("counts = %+v, want %+v", e.Counts, want)
	}
	if e.Affected != 4*tick {
		t.Errorf("affected for %v, want 80 ms", e.Affected)
	}
	if e.Before.P999 != ms || e.During.Count != 3 || e.During.P999.Round(ms) != 500*ms || e.After.P999 != ms {
		t.Errorf("before %+v, during %+v, after %+v", e.Before, e.During, e.After)
	}
}

func TestLimit(t *testing.T) {
	taking := func(n int, d time.Duration) []Sample {
		var all []Sample
		for i := range n {
			all = append(all, Sample{Due: time.Duration(i), Done: time.Duration(i) + d, Class: OK})
		}
		return all
	}
	for name, c := range map[string]struct {
		baseline []Sample
		want     time.Duration
	}{
		"three times p99.9":   {taking(1000, 10*ms), 30 * ms},
		"at least 20 ms":      {taking(1000, ms), 20 * ms},
		"at most 1 s":         {taking(1000, 700*ms), time.Second},
		"one of many is not":  {append(taking(5000, 10*ms), taking(2, 300*ms)...), 30 * ms},
		"no sample, no limit": {nil, time.Second},
		"failures are no ok":  {[]Sample{{Done: 5 * time.Second, Class: FailTimeout}}, time.Second},
	} {
		if got := Limit(c.baseline); (got - c.want).Abs() > c.want/500 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestLimitComesFromTheBaselineOnly(t *testing.T) {
	samples := script("5.")
	samples[49].Done = 60 * tick // held by the fault
	w := Window{Inject: 50*tick - 5*ms, Stable: time.Second}
	if e := EstimateOutage(orders, samples, w); e.Limit != MinLimit {
		t.Errorf("limit = %v, want %v", e.Limit, MinLimit)
	}
	if got := Limits(samples, 0, w.Inject); got["orders"] != MinLimit {
		t.Errorf("limits = %v, want %v", got, MinLimit)
	}
}

func TestWorstIsTheMaximumAndNeverAControlTarget(t *testing.T) {
	of := func(name string, low, high time.Duration) Estimate {
		return Estimate{Series: Series{Name: name, Plane: DataPlane},
			RTA: RTA{Series: name, Recovered: true, Low: low, High: high}}
	}
	control := of("control", 9*time.Second, 10*time.Second)
	control.Series.Control = true
	all := []Estimate{of("a", 30*ms, 50*ms), of("b", 10*ms, 90*ms), control}
	if got, ok := Worst(all, DataPlane); !ok || got.Series != "b" || got.Low != 30*ms || got.High != 90*ms {
		t.Errorf("%+v, want b with [30ms, 90ms]", got)
	}
	dead := of("c", 5*ms, 6*ms)
	dead.RTA.Recovered = false
	if got, _ := Worst(append(all, dead), DataPlane); got.Series != "c" || got.Recovered {
		t.Errorf("%+v, want c, which did not recover", got)
	}
	if _, ok := Worst(all, ControlPlane); ok {
		t.Error("found an RTA of a plane without series")
	}
}

func TestEstimateAllKeepsSeriesApart(t *testing.T) {
	items := orders
	items.Name = "items"
	samples := script("5.9x9.")
	for _, s := range script("5.9.9.") {
		s.Series = "items"
		samples = append(samples, s)
	}
	got := EstimateAll([]Series{items, orders}, samples, Window{Inject: 50 * tick, Stable: time.Second, Limit: limit})
	if got[0].RTA.Impact != NoImpact || got[1].RTA.Impact != OutageImpact {
		t.Errorf("impacts = %s, %s; want none, outage", got[0].RTA.Impact, got[1].RTA.Impact)
	}
}

// TestGroupedKeepsEachSeries: whatever the order of the record, those of a series stand together, as if it had been alone in it.
func TestGroupedKeepsEachSeries(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{"b", "a", "c", "a"} // a is the longest
	for range 100 {
		var samples, want []Sample
		for i := range r.IntN(200) {
			samples = append(samples, Sample{Series: names[r.IntN(len(names))], Seq: int64(i), Due: time.Duration(r.IntN(50))})
		}
		of := bySeries(samples)
		order := slices.Sorted(maps.Keys(of))
		slices.SortStableFunc(order, func(a, b string) int { return len(of[b]) - len(of[a]) })
		if len(order) > 1 {
			slices.Sort(order[1:])
		}
		for _, name := range order {
			alone := slices.Clone(of[name])
			sortByDue(alone)
			want = append(want, alone...)
		}
		if got := Grouped(slices.Clone(samples)); !slices.Equal(got, want) {
			t.Fatalf("%v\nwant %v", got, want)
		}
	}
}
