package report

import (
	"slices"
	"time"

	"gwdr/probes"
)

// maxDots bounds how many attempts a picture shows; of more, it shows every nth.
const maxDots = 3000

const (
	lane       = 17.0
	dotsHeight = 150.0
)

// closeUp is what the picture of single attempts shows: one plane around the injection.
type closeUp struct {
	Zero     float64 // offset of the first injection, seconds since t0
	From, To float64
	RTA      float64 // achieved, from Zero; 0 is none
	Open     bool    // it had not recovered by then
	Label    string
	Groups   []group
	Samples  []probes.Sample // of those groups, in [From, To)
}

// newCloseUp picks the window: the injection, the recovery, and about as much of the quiet before and after.
func newCloseUp(s story, samples []probes.Sample, plane probes.Plane, rta float64) closeUp {
	around := min(max(rta*0.4, 0.3), 2)
	c := closeUp{Zero: s.Zero, RTA: rta, From: max(s.Zero-around, s.From), To: min(s.Zero+rta+around, s.To)}
	for _, g := range s.Groups {
		if g.Plane == plane {
			c.Groups = append(c.Groups, g)
		}
	}
	from, to := time.Duration(c.From*float64(time.Second)), time.Duration(c.To*float64(time.Second))
	for _, sample := range samples {
		if sample.Due >= from && sample.Due < to && c.class(sample.Series) != "" {
			c.Samples = append(c.Samples, sample)
		}
	}
	c.Samples = thin(c.Samples, maxDots)
	return c
}

// class returns the looks of a series' group, or "" if none of the groups has it.
func (c *closeUp) class(series string) string {
	for i := range c.Groups {
		if c.Groups[i].Series[series] {
			return c.Groups[i].Class
		}
	}
	return ""
}

// thin keeps every nth sample, so that at most most are left; but every affected one, up to as many again.
func thin(samples []probes.Sample, most int) []probes.Sample {
	n := (len(samples) + most - 1) / most
	if n <= 1 {
		return samples
	}
	var kept []probes.Sample
	affected := 0
	for i, s := range samples {
		if s.Class.Affected() && affected < most {
			affected++
			kept = append(kept, s)
		} else if i%n == 0 {
			kept = append(kept, s)
		}
	}
	return kept
}

// attemptsChart draws every attempt: right answers as dots by their latency, failed ones as crosses, a lane per cause.
func attemptsChart(u closeUp) picture {
	c := &chart{story: story{Zero: u.Zero, From: u.From, To: u.To}, x: scale{from: u.From, to: u.To, at: plotLeft, end: plotRight}}
	c.picture = picture{ID: "attempts", Width: chartWidth, Title: "Every attempt around the injection", Desc: u.describe()}
	c.dimension(u)
	top := c.y
	c.lanes(u)
	c.dots(u)
	c.line("mark injected", c.x.pos(u.Zero), top-12, c.x.pos(u.Zero), c.y)
	c.axis()
	c.Height = c.y
	return c.picture
}

// dimension draws the achieved time as an engineer draws a length.
func (c *chart) dimension(u closeUp) {
	const y = 22.0
	from, to := c.x.pos(u.Zero), c.x.pos(u.Zero+u.RTA)
	c.y = y + 18
	if u.RTA <= 0 {
		c.text("dimension-name", "start", from+6, y-6, "injected; no outage was seen")
		return
	}
	c.line("dimension", from, y, to, y)
	c.line("dimension", from, y-6, from, y+6)
	c.line("dimension", to, y-6, to, c.y+lane)
	c.text("dimension-name", "middle", (from+to)/2, y-7, u.achieved())
}

func (u closeUp) achieved() string {
	if u.Open {
		return "not recovered after " + human(u.RTA)
	}
	return "achieved " + human(u.RTA)
}

func (c *chart) lanes(u closeUp) {
	for _, class := range failures(u.Samples) {
		middle := c.y + lane/2
		c.text("tick", "end", plotLeft-10, middle+4, string(class))
		c.line("grid", plotLeft, middle, plotRight, middle)
		for _, s := range u.Samples {
			if failure(s.Class) == class {
				c.path("cross "+u.class(s.Series), cross(c.x.pos(s.Due.Seconds()), middle))
			}
		}
		c.y += lane
	}
}

func (c *chart) dots(u closeUp) {
	top := c.y + 10
	bottom := top + dotsHeight
	low, high := time.Hour, time.Duration(0)
	for _, s := range u.Samples {
		if answered(s.Class) {
			low, high = min(low, s.Done-s.Due), max(high, s.Done-s.Due)
		}
	}
	if high == 0 {
		low, high = time.Millisecond, time.Second
	}
	from := decadeBelow(low.Seconds())
	y := scale{from: from, to: max(decadeAbove(high.Seconds()), from*10), at: bottom, end: top, log: true}
	for _, v := range y.ticks(0) {
		c.line("grid", plotLeft, y.pos(v), plotRight, y.pos(v))
		c.text("tick", "end", plotLeft-10, y.pos(v)+4, human(v))
	}
	for _, s := range u.Samples {
		if answered(s.Class) {
			c.circle("dot "+string(s.Class)+" "+u.class(s.Series), c.x.pos(s.Due.Seconds()), y.pos((s.Done - s.Due).Seconds()), 2.2)
		}
	}
	c.y = bottom
}

// cause is what a failed attempt failed of: the class without "fail:".
type cause string

// failure returns the cause of an attempt of the class, or "" if it did not fail.
func failure(c probes.Class) cause {
	const prefix = "fail:"
	if len(c) > len(prefix) && c[:len(prefix)] == prefix {
		return cause(c[len(prefix):])
	}
	return ""
}

// failures lists the causes that occur, in alphabetical order.
func failures(samples []probes.Sample) []cause {
	var all []cause
	for _, s := range samples {
		if f := failure(s.Class); f != "" && !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	slices.Sort(all)
	return all
}

func cross(x, y float64) string {
	const r = 3
	var p pen
	p.move(x-r, y-r)
	p.line(x+r, y+r)
	p.move(x-r, y+r)
	p.line(x+r, y-r)
	return p.b.String()
}

// describe tells the picture in words.
func (u closeUp) describe() string {
	failed := 0
	for _, s := range u.Samples {
		if failure(s.Class) != "" {
			failed++
		}
	}
	return counted(len(u.Samples), "attempt") + " from " + human(u.From-u.Zero) + " to " + human(u.To-u.Zero) +
		" around the injection, " + grouped(failed) + " of them failed."
}
