package report

import "time"

func (c *chart) success() {
	top := c.y + panelGap
	bottom := top + successPanel
	y := scale{from: 0, to: 1, at: bottom, end: top}
	c.text("panel", "start", plotLeft, top-11, "Right answers in time, share of attempts per "+
		human(c.story.Bucket.Seconds())+"; slow ones count as not in time, unsent ones not at all")
	for _, share := range []float64{0, 0.5, 1} {
		c.line("grid", plotLeft, y.pos(share), plotRight, y.pos(share))
		c.text("tick", "end", plotLeft-10, y.pos(share)+4, percent(share))
	}
	for i := range c.story.Groups {
		g := &c.story.Groups[i]
		c.path("success "+g.Class, c.steps(g.Buckets, func(b *bucket) (float64, bool) {
			share, any := b.success()
			return y.pos(share), any
		}))
	}
	c.y = bottom
}

func (c *chart) latency() {
	top := c.y + panelGap
	bottom := top + latencyPanel
	y := c.latencyScale(bottom, top)
	c.text("panel", "start", plotLeft, top-11, "Latency of right answers: p50 thin, p99 thick, logarithmic")
	for _, v := range y.ticks(0) {
		c.line("grid", plotLeft, y.pos(v), plotRight, y.pos(v))
		c.text("tick", "end", plotLeft-10, y.pos(v)+4, human(v))
	}
	for i := range c.story.Groups {
		g := &c.story.Groups[i]
		for _, q := range []struct {
			share float64
			class string
		}{{0.5, "p50 "}, {0.99, "p99 "}} {
			c.path(q.class+g.Class, c.steps(g.Buckets, func(b *bucket) (float64, bool) {
				d, any := b.quantile(q.share)
				return y.pos(d.Seconds()), any
			}))
		}
	}
	c.y = bottom
}

// latencyScale spans whole decades around all that is drawn.
func (c *chart) latencyScale(bottom, top float64) scale {
	low, high := time.Hour, time.Duration(0)
	for i := range c.story.Groups {
		for j := range c.story.Groups[i].Buckets {
			b := &c.story.Groups[i].Buckets[j]
			if p50, any := b.quantile(0.5); any {
				p99, _ := b.quantile(0.99)
				low, high = min(low, p50), max(high, p99)
			}
		}
	}
	from, to := decadeBelow(low.Seconds()), decadeAbove(high.Seconds())
	if high == 0 {
		from, to = 0.001, 1
	}
	return scale{from: from, to: max(to, from*10), at: bottom, end: top, log: true}
}

// steps draws a value per bucket as a staircase, with a hole where there is none.
func (c *chart) steps(buckets []bucket, value func(*bucket) (y float64, any bool)) string {
	var p pen
	drawing := false
	width := c.story.Bucket.Seconds()
	for i := range buckets {
		start := buckets[i].start.Seconds()
		y, any := value(&buckets[i])
		switch {
		case any && drawing:
			p.line(c.x.pos(start), y)
		case any:
			p.move(c.x.pos(start), y)
		}
		if any {
			p.line(c.x.pos(start+width), y)
		}
		drawing = any
	}
	return p.b.String()
}

func (c *chart) axis() {
	x := scale{from: c.story.From - c.story.Zero, to: c.story.To - c.story.Zero, at: plotLeft, end: plotRight}
	for _, v := range x.ticks(12) {
		c.line("tick-mark", x.pos(v), c.y, x.pos(v), c.y+5)
		c.text("tick", "middle", x.pos(v), c.y+18, axisTime(v))
	}
	c.line("axis", plotLeft, c.y, plotRight, c.y)
	c.text("axis-name", "end", plotRight, c.y+36, c.axisName())
	c.y += 44
}

func (c *chart) axisName() string {
	if c.story.Zero == 0 {
		return "time since the drill's start"
	}
	return "time since the first fault was injected"
}

func axisTime(v float64) string {
	if v == 0 {
		return "0"
	}
	return signed(v)
}
