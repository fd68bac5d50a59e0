package report

import (
	"fmt"
	"io"
	"strings"

	"gwdr/drills"
	"gwdr/scenarios"
)

// Text writes the result for a terminal or a log: the verdict, what was promised and achieved, and what lies behind it.
// Control characters from the evidence are taken out.
func Text(w io.Writer, r *drills.Result) error {
	var b strings.Builder
	writeLine(&b, strings.ToUpper(string(r.Verdict))+"  ", oneLine(r.Scenario)+": "+oneLine(r.Title))
	if r.Reason != "" {
		writeLine(&b, "", oneLine(r.Reason))
	}
	if !r.Clean {
		b.WriteString("DIRTY: a fault may still be in effect\n")
	}
	if len(r.Objectives) > 0 {
		b.WriteString("\n")
		if err := objectivesTable(&b, r.Objectives); err != nil {
			return err
		}
	}
	b.WriteString("\n")
	if len(r.Breakdown) > 0 {
		if err := breakdownTable(&b, r.Breakdown); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	if rows := predictionRows(r); len(rows) > 0 {
		if err := predictionTable(&b, rows); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	for _, l := range textLines(r) {
		writeLine(&b, fmt.Sprintf("%-10s ", l[0]), oneLine(l[1]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func objectivesTable(w io.Writer, objectives []drills.ObjectiveResult) error {
	rows := [][]string{{"Objective", "Metric", "Promised", "Achieved", "Verdict"}}
	for _, o := range objectives {
		metric := strings.TrimSpace(strings.ToUpper(o.Metric) + " " + o.Plane)
		if o.Metric != scenarios.MetricRTA && o.Metric != scenarios.MetricRPA {
			metric = o.Metric
		}
		rows = append(rows, []string{o.ID, metric, o.Target, o.Value, string(o.Verdict)})
	}
	return table(w, rows, 26)
}

// textLines are what follows the table, as a word and what there is to say of it.
func textLines(r *drills.Result) [][2]string {
	lines := [][2]string{
		{"run", fmt.Sprintf("%d, %s, %s, %s", r.RunNo, r.Fleet, utc(r.Started), human(r.Ended.Sub(r.Started).Seconds()))},
	}
	for _, f := range r.Faults {
		lines = append(lines, [2]string{"fault", faultLine(f)})
	}
	if q := r.Requests; q.Sent > 0 {
		lines = append(lines, [2]string{"requests", fmt.Sprintf("%s of clients: %s ok, %s slow, %s failed; %s not sent in time",
			grouped(q.Sent), grouped(q.OK), grouped(q.Slow), grouped(q.Failed), grouped(q.Unknown))})
	}
	lines = append(lines, lossLines(r.RPA)...)
	if c := r.Convergence; c != nil {
		lines = append(lines, [2]string{"agreed", fmt.Sprintf("all regions had the same configuration %s after the revert", human(c.HighS))})
	}
	lines = append(lines, serviceLines(r)...)
	for _, f := range r.Findings {
		lines = append(lines, [2]string{"finding", f})
	}
	return append(lines, [2]string{"calibrated", calibrated(r)}, [2]string{"evidence", r.Evidence})
}

// calibrated says how well the prober is known to measure on the drill's host.
func calibrated(r *drills.Result) string {
	if r.Calibration == "" {
		return "never on this host before this drill: see 'gwdr drill calibrate'"
	}
	return r.Calibration
}

func faultLine(f drills.FaultResult) string {
	state := []string{f.Kind + " " + strings.Join(f.Targets, ", "), "injected", "verified", "reverted"}
	if f.Injected == nil {
		state[1] = "never injected"
	}
	if !f.Verified {
		state[2] = "not verified"
	}
	if f.Reverted == nil {
		state[3] = "NOT reverted"
	}
	return f.ID + ": " + strings.Join(state, ", ")
}

// VerificationText writes a list of the checks and, if there are any, of the differences.
func VerificationText(w io.Writer, v *Verification) error {
	var b strings.Builder
	word := "VERIFIED"
	if v.Incomplete {
		word = "INCOMPLETE"
	} else if !v.Verified {
		word = "NOT VERIFIED"
	}
	fmt.Fprintf(&b, "%s  %s, reported %s, recomputed %s\n\n", word, oneLine(v.Run), dash(string(v.Reported)), dash(string(v.Recomputed)))
	checks := [][]string{{"Check", "", "Found"}}
	for _, c := range v.Checks {
		mark := "ok"
		if !c.OK {
			mark = "FAILED"
		}
		checks = append(checks, []string{c.Name, mark, c.Detail})
	}
	if err := table(&b, checks, 52); err != nil {
		return err
	}
	if len(v.Differences) > 0 {
		b.WriteString("\n")
		differences := [][]string{{"Field", "Reported", "Recomputed"}}
		for _, d := range v.Differences {
			differences = append(differences, []string{d.Field, dash(d.Reported), dash(d.Recomputed)})
		}
		if err := table(&b, differences, 26); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
