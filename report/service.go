package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"gwdr/drills"
	"gwdr/probes"
)

// planes are the planes that the result knows of, in their order.
func planes(r *drills.Result) []string {
	var all []string
	for _, plane := range []string{string(probes.DataPlane), string(probes.ControlPlane)} {
		if _, ok := r.RTA[plane]; ok {
			all = append(all, plane)
		}
	}
	return all
}

// serviceLines say how each plane fared, and what that cost of the error budget.
func serviceLines(r *drills.Result) [][2]string {
	var lines [][2]string
	for _, plane := range planes(r) {
		u, ok := r.Unavailability[plane]
		if !ok {
			return nil // an older build's result
		}
		lines = append(lines, [2]string{plane, fmt.Sprintf("%s unavailable, %s of budget, %s",
			between(u.LowS, u.HighS), budgetShare(*u.Budget), counted(u.Outages, "outage"))})
	}
	if all := planes(r); len(all) > 0 {
		lines = append(lines, [2]string{"budget", budgetLine(*r.Unavailability[all[0]].Budget)})
	}
	return append(lines, latencyLines(r)...)
}

// between writes a bracket for running text.
func between(low, high float64) string {
	switch {
	case human(low) == human(high):
		return human(high)
	case low == 0: // nothing was seen; an attempt that was not made could have hidden it
		return "at most " + human(high)
	}
	return human(low) + " to " + human(high)
}

// after says how long after the injection something was seen.
func after(s *float64) string {
	if s == nil {
		return "not seen"
	}
	return "after " + human(*s)
}

// budgetLine names the budget: nobody may take a default for a promise.
func budgetLine(b drills.Budget) string {
	days := trimZero(strconv.FormatFloat(b.WindowS/86400, 'f', 2, 64))
	return fmt.Sprintf("%s%% of %s days allows %s", trimZero(strconv.FormatFloat(b.SLO, 'f', 6, 64)), days, human(b.AllowedS))
}

func budgetShare(b drills.Budget) string {
	low, high := small(b.Low), small(b.High)
	switch {
	case low != high && b.Low == 0:
		return "at most " + high
	case low != high:
		return low + " to " + high
	}
	return small(b.High)
}

// budgetLines say what each series of a watch spent of the budget that was promised; nothing if nothing was.
func budgetLines(r *drills.WatchResult) [][2]string {
	var lines [][2]string
	for _, s := range r.Series {
		u := s.Unavailability
		if u == nil || u.Budget == nil {
			continue
		}
		if lines == nil {
			lines = append(lines, [2]string{"budget", budgetLine(*u.Budget)})
		}
		lines = append(lines, [2]string{"spent", fmt.Sprintf("%s: %s, %s of it", s.Name, between(u.LowS, u.HighS), budgetShare(*u.Budget))})
	}
	return lines
}

// small writes a share that may be a very small part, with two digits that count.
func small(share float64) string {
	if share <= 0 || share >= 0.01 {
		return percent(share)
	}
	digits, err := strconv.ParseFloat(strconv.FormatFloat(share*100, 'g', 2, 64), 64)
	if err != nil {
		return percent(share)
	}
	return strconv.FormatFloat(digits, 'f', -1, 64) + "%"
}

func recoveryMeasured(rta drills.RTA) string {
	switch {
	case rta.Impact == string(probes.NoImpact):
		return "no impact"
	case !rta.Recovered:
		return "> " + human(rta.HighS)
	}
	return bracket(rta.LowS, rta.HighS)
}

// latencyLines show the quantiles of right answers.
func latencyLines(r *drills.Result) [][2]string {
	var lines [][2]string
	for _, when := range []string{"before", "during", "after"} {
		if l := r.Latency[when]; l.P50S > 0 { // else nothing was answered
			lines = append(lines, [2]string{"latency", fmt.Sprintf("%s: p50 %s, p99 %s, p99.9 %s", when, human(l.P50S), human(l.P99S), human(l.P999S))})
		}
	}
	return lines
}

// breakdownTable lists the turns of events.
func breakdownTable(w io.Writer, moments []drills.Moment) error {
	rows := [][]string{{"Since injection", "Moment", "Plane", "What"}}
	for _, m := range moments {
		rows = append(rows, []string{signed(m.SinceS), m.Moment, m.Plane, m.What})
	}
	return table(w, rows, 34)
}

// serviceRow is what a plane's service was.
type serviceRow struct {
	Plane string
	drills.Unavailability
	RTA drills.RTA
}

func (b *Bundle) serviceRows() []serviceRow {
	var rows []serviceRow
	for _, plane := range planes(b.Result) {
		if u, ok := b.Result.Unavailability[plane]; ok {
			rows = append(rows, serviceRow{plane, u, b.Result.RTA[plane]})
		}
	}
	return rows
}

// Taken is how long the plane was unavailable.
func (r serviceRow) Taken() string { return bracket(r.LowS, r.HighS) }

// Spent is the share of the error budget.
func (r serviceRow) Spent() string { return budgetShare(*r.Budget) }

// BudgetLine names the error budget.
func (r serviceRow) BudgetLine() string { return budgetLine(*r.Budget) }

// Stable says when the plane was shown to be up.
func (r serviceRow) Stable() string { return after(r.RTA.StableS) }

// Full says when the plane was at full service.
func (r serviceRow) Full() string { return after(r.RTA.FullServiceS) }

// predictionRow is a prediction beside what was measured.
type predictionRow struct {
	Plane, What, Predicted, Mean, Measured string
	Surprise                               bool
}

func predictionRows(r *drills.Result) []predictionRow {
	var rows []predictionRow
	for _, plane := range planes(r) {
		p, ok := r.Predicted[plane]
		if !ok {
			continue
		}
		if e := p.Detection; e != nil {
			row := predictionRow{Plane: plane, What: "noticed", Predicted: bracket(e.BestS, e.WorstS), Mean: human(e.MeanS), Measured: "not seen"}
			if d := p.Detected; d != nil {
				row.Measured, row.Surprise = bracket(d.LowS, d.HighS), e.Misses(d.LowS, d.HighS)
			}
			rows = append(rows, row)
		}
		rows = append(rows, recoveryRow(plane, p, r.RTA[plane]))
	}
	return rows
}

func recoveryRow(plane string, p drills.Predicted, rta drills.RTA) predictionRow {
	row := predictionRow{Plane: plane, What: "back", Predicted: "no prediction: " + p.Unknown, Mean: "–", Measured: recoveryMeasured(rta)}
	e := p.Recovery
	if e == nil {
		return row
	}
	measured := rta.Bracket()
	row.Surprise = e.Misses(measured.LowS, measured.HighS)
	if row.Predicted = "no client affected"; e.WorstS > 0 {
		row.Predicted, row.Mean = bracket(e.BestS, e.WorstS), human(e.MeanS)
	}
	return row
}

// predictionTable shows what was expected beside what was measured.
func predictionTable(w io.Writer, rows []predictionRow) error {
	all := [][]string{{"Plane", "Event", "Predicted", "Mean", "Measured"}}
	for _, r := range rows {
		if r.Surprise {
			r.Measured += ", a surprise"
		}
		all = append(all, []string{r.Plane, r.What, r.Predicted, r.Mean, r.Measured})
	}
	return table(w, all, 21)
}

// Inputs says what the prediction of each plane rests on.
func (p page) Inputs() []string {
	var all []string
	for _, plane := range planes(p.Result) {
		var inputs []string
		for _, in := range p.Result.Predicted[plane].From {
			inputs = append(inputs, in.Name+": "+in.Value)
		}
		if inputs != nil {
			all = append(all, plane+" plane: "+strings.Join(inputs, "; "))
		}
	}
	return all
}
