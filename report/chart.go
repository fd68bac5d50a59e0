package report

import (
	"fmt"
	"time"

	"gwdr/probes"
)

// story is what the charts draw: offsets are seconds since t0; Zero is the offset that the axis calls 0, the first
// injection.
type story struct {
	Zero     float64
	From, To float64
	Phases   []span
	Marks    []mark
	Tracks   []track
	Groups   []group
	Bucket   time.Duration
}

// span is a phase.
type span struct {
	Name     string
	From, To float64
}

// mark is an instant with a name. Class is injected, verified, reverted or step.
type mark struct {
	At          float64
	Text, Class string
}

// track is a plane: when it was down, and what was promised of it. Promise 0 is none.
type track struct {
	Label   string
	Promise float64
	Down    []span
}

// group is a set of series that are drawn as one line.
type group struct {
	Label   string
	Class   string // a, b or c: colour and dash
	Plane   probes.Plane
	Series  map[string]bool
	Buckets []bucket
}

// Measures of the chart, in its own units.
const (
	chartWidth   = 1040.0
	plotLeft     = 92.0
	plotRight    = chartWidth - 14
	phaseTop     = 6.0
	markTop      = 30.0
	rowHeight    = 17.0
	trackHeight  = 24.0
	panelGap     = 38.0
	successPanel = 120.0
	latencyPanel = 120.0
	glyph        = 6.3 // width of a character of the small text, at most
)

// chart is a drawing in progress.
type chart struct {
	picture
	story story
	x     scale
	y     float64 // what is above is drawn
}

// timelineChart draws the whole drill: phases, marks, outages, success rate and latency.
func timelineChart(s story) picture {
	c := &chart{story: s, x: scale{from: s.From, to: s.To, at: plotLeft, end: plotRight}}
	c.picture = picture{ID: "timeline", Width: chartWidth, Title: "Success rate and latency over the drill", Desc: s.describe()}
	background := len(c.Shapes)
	c.marks()
	c.tracks()
	c.success()
	c.latency()
	c.phases(background)
	c.axis()
	c.Height = c.y
	return c.picture
}

// phases shades every second phase and names those with room for it. It is drawn when the height is known, and put
// behind all that was drawn since at.
func (c *chart) phases(at int) {
	drawn := c.Shapes[at:]
	c.Shapes = c.Shapes[:at:at]
	shaded := false
	for _, p := range c.story.Phases {
		x, end := c.x.pos(p.From), c.x.pos(p.To)
		if end-x < 4 {
			continue // too short to see: its neighbours are to be told apart
		}
		if shaded = !shaded; shaded {
			c.rect("phase", x, phaseTop, end-x, c.y-phaseTop)
		}
		if width := glyph * float64(len(p.Name)); width+4 < end-x {
			c.text("phase-name", "middle", (x+end)/2, phaseTop+13, p.Name)
		}
	}
	c.Shapes = append(c.Shapes, drawn...)
}

// marks draws the instants, each with its name beside it, in as many rows as it takes for the names not to meet.
func (c *chart) marks() {
	var ends []float64 // of the text in each row
	rows := make([]int, len(c.story.Marks))
	for i, m := range c.story.Marks {
		x, row := c.x.pos(m.At), 0
		for row < len(ends) && ends[row] > x-4 {
			row++
		}
		if row == len(ends) {
			ends = append(ends, 0)
		}
		ends[row] = x + 14 + glyph*float64(len(m.Text))
		rows[i] = row
	}
	c.y = markTop + rowHeight*float64(len(ends))
	bottom := c.y + c.panelsHeight()
	for i, m := range c.story.Marks {
		x, y := c.x.pos(m.At), markTop+rowHeight*float64(rows[i])
		c.line("mark "+m.Class, x, y+4, x, bottom)
		c.path("mark-head "+m.Class, markHead(m.Class, x, y+6))
		c.markName(x, y+10, m.Text)
	}
}

// markName writes the name to the right, or to the left where there is no room.
func (c *chart) markName(x, y float64, text string) {
	if x+10+glyph*float64(len(text)) > plotRight {
		c.text("mark-name", "end", x-8, y, text)
		return
	}
	c.text("mark-name", "start", x+8, y, text)
}

// markHead draws a triangle that points down for what breaks, up for what mends, and a diamond for the rest.
func markHead(class string, x, y float64) string {
	var p pen
	switch class {
	case "injected":
		p.move(x-5, y-4)
		p.line(x+5, y-4)
		p.line(x, y+5)
	case "reverted":
		p.move(x-5, y+5)
		p.line(x+5, y+5)
		p.line(x, y-4)
	default:
		p.move(x, y-5)
		p.line(x+4, y)
		p.line(x, y+5)
		p.line(x-4, y)
	}
	return p.b.String() + "Z"
}

func (c *chart) panelsHeight() float64 {
	return 8 + trackHeight*float64(len(c.story.Tracks)) + panelGap + successPanel + panelGap + latencyPanel
}

// tracks draws one line per plane: the time that was promised as a frame, the outages as bars.
func (c *chart) tracks() {
	c.y += 8
	for _, t := range c.story.Tracks {
		middle := c.y + trackHeight/2
		c.text("label", "end", plotLeft-10, middle+4, t.Label)
		c.line("rule", plotLeft, middle, plotRight, middle)
		if t.Promise > 0 {
			from, to := c.x.pos(c.story.Zero), c.x.pos(c.story.Zero+t.Promise)
			c.rect("promise", from, middle-8, to-from, 16)
		}
		for _, d := range t.Down {
			c.outage(d, middle)
		}
		c.y += trackHeight
	}
}

func (c *chart) outage(d span, middle float64) {
	from, to := c.x.pos(d.From), c.x.pos(d.To)
	c.rect("outage", from, middle-5, max(to-from, 2), 10)
	if to+8+glyph*float64(len(d.Name)) > plotRight {
		c.text("outage-name", "end", from-6, middle+4, d.Name)
		return
	}
	c.text("outage-name", "start", max(to, from+2)+6, middle+4, d.Name)
}

// describe tells the chart in words.
func (s story) describe() string {
	text := fmt.Sprintf("Timeline of %s.", human(s.To-s.From))
	for _, t := range s.Tracks {
		for _, d := range t.Down {
			text += fmt.Sprintf(" %s down from %s to %s after the injection.", t.Label, human(d.From-s.Zero), human(d.To-s.Zero))
		}
		if len(t.Down) == 0 {
			text += fmt.Sprintf(" %s: no outage.", t.Label)
		}
	}
	return text
}
