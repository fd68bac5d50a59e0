package report

import (
	"math"
	"strconv"
	"strings"
)

// shape is one element of a picture. Kind is rect, line, path, circle or text; Class decides its looks.
type shape struct {
	Kind       string
	Class      string
	X, Y, W, H float64 // line: from X, Y to W, H; circle: W is the radius
	D          string  // path
	Text       string
	Anchor     string // text: start, middle, end
}

// picture is a drawing in SVG. Title and Desc are what a screen reader says of it.
type picture struct {
	ID            string
	Title, Desc   string
	Width, Height float64
	Shapes        []shape
}

func (p *picture) rect(class string, x, y, w, h float64) {
	p.Shapes = append(p.Shapes, shape{Kind: "rect", Class: class, X: x, Y: y, W: max(w, 0), H: max(h, 0)})
}

func (p *picture) line(class string, x1, y1, x2, y2 float64) {
	p.Shapes = append(p.Shapes, shape{Kind: "line", Class: class, X: x1, Y: y1, W: x2, H: y2})
}

func (p *picture) path(class, d string) {
	if d != "" {
		p.Shapes = append(p.Shapes, shape{Kind: "path", Class: class, D: d})
	}
}

func (p *picture) circle(class string, x, y, r float64) {
	p.Shapes = append(p.Shapes, shape{Kind: "circle", Class: class, X: x, Y: y, W: r})
}

func (p *picture) text(class, anchor string, x, y float64, text string) {
	p.Shapes = append(p.Shapes, shape{Kind: "text", Class: class, X: x, Y: y, Text: text, Anchor: anchor})
}

// xy writes a coordinate with at most two digits.
func xy(v float64) string {
	return trimZero(strconv.FormatFloat(v, 'f', 2, 64))
}

// pen writes the d of a path. Move starts a new part of it.
type pen struct{ b strings.Builder }

func (p *pen) move(x, y float64) { p.to('M', x, y) }
func (p *pen) line(x, y float64) { p.to('L', x, y) }

func (p *pen) to(command byte, x, y float64) {
	p.b.WriteByte(command)
	p.b.WriteString(xy(x) + " " + xy(y))
}

// scale maps a range of values to a range of coordinates, linearly or by logarithm.
type scale struct {
	from, to float64 // values
	at, end  float64 // coordinates
	log      bool
}

func (s scale) pos(v float64) float64 {
	v = min(max(v, s.from), s.to)
	share := (v - s.from) / (s.to - s.from)
	if s.log {
		share = math.Log(v/s.from) / math.Log(s.to/s.from)
	}
	return s.at + share*(s.end-s.at)
}

// ticks returns round values inside the scale, at most most of them.
func (s scale) ticks(most int) []float64 {
	if s.log {
		return s.decades()
	}
	step := roundStep((s.to - s.from) / float64(most))
	var values []float64
	for v := math.Ceil(s.from/step) * step; v <= s.to+step*1e-9; v += step {
		values = append(values, math.Round(v/step)*step)
	}
	return values
}

func (s scale) decades() []float64 {
	var values []float64
	for e := math.Ceil(math.Log10(s.from) - 1e-9); math.Pow(10, e) <= s.to*(1+1e-9); e++ {
		values = append(values, math.Pow(10, e))
	}
	return values
}

// roundStep returns the smallest of 1, 2 and 5 times a power of ten that is not below least.
func roundStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, times := range []float64{1, 2, 5} {
		if power*times >= least*(1-1e-9) {
			return power * times
		}
	}
	return power * 10
}

func decadeBelow(v float64) float64 { return math.Pow(10, math.Floor(math.Log10(max(v, 1e-6))+1e-9)) }
func decadeAbove(v float64) float64 { return math.Pow(10, math.Ceil(math.Log10(max(v, 1e-6))-1e-9)) }
