package report

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

// WriteWatch adds the report to the evidence of a watch that has ended: report.json, manifest.json and, if there is a
// signer, attestation.dsse.json.
func WriteWatch(dir string, r *drills.WatchResult, signer *sshsig.Signer) error {
	document, err := marshal(r)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := writeBytes(dir, drills.ReportFile, document); err != nil {
		return err
	}
	journal, err := hashFile(dir, drills.JournalFile)
	if err != nil {
		return err
	}
	return attest(dir, Manifest{Schema: ManifestSchema, Run: r.ID}, claimOfWatch(r, journal), signer)
}

// claimOfWatch says what came out of a watch, whose plan is in its journal. Without a promise nothing was proven.
func claimOfWatch(r *drills.WatchResult, journal File) claim {
	c := claim{outcome(r.Verdict, true), resourceOf(journal.Name, journal.SHA256), r.Objectives}
	if r.Verdict == "" {
		c.outcome = "WARNED"
	}
	return c
}

// watch is Verify for the evidence of a watch, which has neither a number nor a scenario.
func (v *verifier) watch() error {
	var reported drills.WatchResult
	v.readReport(&reported)
	v.identify(reported.ID, 0)
	v.out.Reported = reported.Verdict
	journal, err := hashFile(v.dir, drills.JournalFile)
	if err != nil {
		return err
	}
	v.claim, v.trusted = claimOfWatch(&reported, journal), v.trusted.At(reported.Ended)
	v.checkRecord()
	v.check(checkRecomputed, func() (string, error) {
		facts, err := drills.ReadWatch(v.dir)
		if err != nil {
			return "", err
		}
		again := drills.JudgeWatch(facts)
		v.out.Recomputed = again.Verdict
		if errors.Is(v.reported, fs.ErrNotExist) {
			return "", fmt.Errorf("there is no report; the evidence gives: %s", again.Reason)
		}
		return fmt.Sprintf("from %s: equal in every field", counted(len(facts.Samples), "attempt")), v.same(reported, again)
	})
	return v.out.err()
}

// WatchJSON writes the result as a document.
func WatchJSON(w io.Writer, r *drills.WatchResult) error {
	document, err := marshal(r)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	_, err = w.Write(document)
	return err
}

// WatchText writes the result for a terminal or a log: what was promised and achieved, how each series fared, every outage.
func WatchText(w io.Writer, r *drills.WatchResult) error {
	var b strings.Builder
	writeLine(&b, strings.ToUpper(cmp.Or(string(r.Verdict), "measured"))+"  ", oneLine(r.Reason))
	b.WriteString("\n")
	if len(r.Objectives) > 0 {
		if err := objectivesTable(&b, r.Objectives); err != nil {
			return err
		}
		b.WriteString("\n")
	}
	if err := seriesTable(&b, r.Series); err != nil {
		return err
	}
	if err := phasesTable(&b, r.Series); err != nil {
		return err
	}
	if err := outagesTable(&b, r.Series); err != nil {
		return err
	}
	b.WriteString("\n")
	for _, l := range watchLines(r) {
		writeLine(&b, fmt.Sprintf("%-10s ", l[0]), oneLine(l[1]))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func seriesTable(w io.Writer, all []drills.WatchedSeries) error {
	rows := [][]string{{"Series", "Attempts", "ok", "Unavailable", "p50", "p99", "p99.9"}}
	for _, s := range all {
		row := []string{s.Name, grouped(s.Requests.Sent), percent(s.Availability), human(s.UnavailableS), "–", "–", "–"}
		if s.Requests.OK+s.Requests.Slow > 0 {
			row = append(row[:4], human(s.Latency.P50S), human(s.Latency.P99S), human(s.Latency.P999S))
		}
		rows = append(rows, row)
	}
	return table(w, rows, 24)
}

// maxOutages bounds what the text shows of each series: the last ones.
const maxOutages = 20

func outagesTable(w io.Writer, all []drills.WatchedSeries) error {
	rows := [][]string{{"Outage of", "Since (UTC)", "Took", "Truth lies in", "Affected", "Flaps"}}
	for _, s := range all {
		for _, o := range s.Outages[max(0, len(s.Outages)-maxOutages):] {
			took, truth := human(o.PointS), bracket(o.LowS, o.HighS)
			if o.Lasting {
				took, truth = "lasts", "> "+human(o.LowS)
			}
			rows = append(rows, []string{s.Name, clock(o.Start), took, truth, grouped(o.Affected), grouped(o.Flaps)})
		}
	}
	if len(rows) == 1 {
		return nil
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return table(w, rows, 24)
}

// watchLines are what follows the tables, as a word and what there is to say of it.
func watchLines(r *drills.WatchResult) [][2]string {
	lines := [][2]string{}
	for i, target := range r.Targets {
		lines = append(lines, [2]string{"target", fmt.Sprintf("%d: %s", i+1, target)})
	}
	for _, v := range r.Vantages {
		lines = append(lines, [2]string{"vantage", vantageLine(v)})
	}
	lines = append(lines, [2]string{"observed", fmt.Sprintf("%s, from %s", human(r.ObservedS), utc(r.Started))})
	for _, s := range r.Series {
		if n := s.Requests.Sent + s.Requests.Unknown - s.Requests.OK; n > 0 {
			lines = append(lines, [2]string{"not ok", s.Name + ": " + classes(s.Classes)})
		}
	}
	for _, s := range r.Series {
		if s.TLS != nil {
			lines = append(lines, [2]string{"TLS", tlsLine(s)})
		}
	}
	lines = append(lines, budgetLines(r)...)
	if r.Mark != nil {
		lines = append(lines, [2]string{"mark", utc(*r.Mark)})
	}
	if r.RTA != nil {
		lines = append(lines, [2]string{"RTA", rtaLine(*r.RTA)})
	}
	lines = append(lines, watchedLedgerLines(r.Ledger)...)
	for _, f := range r.Findings {
		lines = append(lines, [2]string{"finding", f})
	}
	for _, w := range r.Warnings {
		lines = append(lines, [2]string{"warning", w})
	}
	return append(lines, [2]string{"evidence", r.Evidence})
}

// vantageLine says how far a vantage point can be trusted.
func vantageLine(v drills.WatchedVantage) string {
	text := fmt.Sprintf("%s: %s, its clock known to ±%s", v.Name, v.Agent, human(v.HalfWidthS))
	if v.Readings == 0 {
		text = fmt.Sprintf("%s: %s, its clock was never read", v.Name, v.Agent)
	}
	if v.Cuts > 0 {
		text += ", " + counted(v.Cuts, "cut")
	}
	if v.Unknown > 0 {
		text += ", nothing heard of " + counted(v.Unknown, "attempt")
	}
	return text
}

func rtaLine(r drills.RTA) string {
	switch {
	case r.Impact == "none":
		return "no attempt was affected after the mark"
	case !r.Recovered:
		return fmt.Sprintf("> %s, not recovered at the end (%s)", human(r.LowS), r.Series)
	}
	return fmt.Sprintf("%s (±%s) after the mark (%s)", human(r.HighS), human(r.ErrorS), r.Series)
}

// classes lists the attempts that were not ok, by class.
func classes(counts map[string]int) string {
	var names []string
	for class := range counts {
		if class != "ok" {
			names = append(names, class)
		}
	}
	slices.Sort(names)
	for i, class := range names {
		names[i] = grouped(counts[class]) + " " + class
	}
	return strings.Join(names, ", ")
}
