package cmd

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gwdr/gateway"
	"gwdr/restore"
)

// The colours of a plan, as ANSI escapes.
const (
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	red    = "\x1b[31m"
	plain  = "\x1b[0m"
)

// painter returns a function that colours text, if w is a terminal that a person looks at.
func (a *app) painter(w io.Writer) func(colour, text string) string {
	if a.Plain || a.Env("NO_COLOR") != "" || a.Env("TERM") == "dumb" || !isTerminal(w) {
		return func(_, text string) string { return text }
	}
	return func(colour, text string) string { return colour + text + plain }
}

// noteFindings writes to stderr what the person who restores has to know.
func (a *app) noteFindings(findings []restore.Finding) {
	paint := a.painter(a.Stderr)
	for _, f := range condense(findings) {
		line := "! " + printable(f.String())
		if isTerminal(a.Stderr) {
			line = hang("! ", 2, printable(f.String()))
		}
		fmt.Fprintln(a.Stderr, paint(yellow, line))
	}
}

// findingsShown bounds the findings on one subject: a location that lost all its points says so often enough.
const findingsShown = 3

func condense(findings []restore.Finding) []restore.Finding {
	seen := map[string]int{}
	var shown []restore.Finding
	for _, f := range findings {
		if seen[f.Subject]++; seen[f.Subject] <= findingsShown {
			shown = append(shown, f)
		}
	}
	for i, f := range shown {
		if more := seen[f.Subject] - findingsShown; more > 0 && (i+1 == len(shown) || shown[i+1].Subject != f.Subject) {
			shown[i].Text += fmt.Sprintf(" (and %d more like this)", more)
		}
	}
	return shown
}

func (a *app) showPlan(plan *restore.Plan, verbose bool) error {
	if a.JSON {
		return a.writeJSON(plan)
	}
	return writePlan(a.Stdout, plan, a.painter(a.Stdout), verbose)
}

// changesShown bounds the changes that a plan lists unless one asks for all.
const changesShown = 20

// writePlan writes the plan for people.
func writePlan(w io.Writer, p *restore.Plan, paint func(colour, text string) string, verbose bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Restore point %s\n", path.Base(p.Point))
	fmt.Fprintf(&b, "  taken %s (%s ago), revision %d\n", p.Time.UTC().Format("2006-01-02 15:04:05 UTC"), time.Since(p.Time).Round(time.Second), p.Revision)
	fmt.Fprintln(&b, hang("  of lineage ", 4, p.Lineage+", read from "+provenance(p.Provenance)))
	for _, f := range condense(p.Findings) {
		fmt.Fprintln(&b, paint(yellow, hang("  ! ", 4, printable(f.String()))))
	}
	fmt.Fprintln(&b)
	writeChanges(&b, p.Changes, paint, verbose)
	if err := writeCounts(&b, p); err != nil {
		return err
	}
	if p.Revoked > 0 {
		fmt.Fprintf(&b, "%s made after the point, or unknown to it, %s in force.\n", count(p.Revoked, "revocation"), verb(p.Revoked, "stays", "stay"))
	}
	if p.Doubt != nil {
		fmt.Fprintf(&b, "Revocations are known up to %s, and those that the gateway\n"+
			"has. Any other key that was revoked later works again; --witness asks who knows.\n", p.Doubt.Since.Format("2006-01-02 15:04:05 UTC"))
	}
	if len(p.Changes) == 0 {
		fmt.Fprintln(&b, "The gateway is as in the point: nothing to change.")
	} else {
		fmt.Fprintf(&b, "Takes about %s.\n", max(time.Second, time.Duration(p.EstimateS*float64(time.Second)).Round(time.Second)))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeChanges lists the changes: the first of each operation, or all of them with the difference of their bodies.
func writeChanges(w io.Writer, changes []gateway.Change, paint func(colour, text string) string, verbose bool) {
	marks := map[gateway.Op]struct{ colour, sign string }{gateway.Create: {green, "+"}, gateway.Update: {yellow, "~"}, gateway.Delete: {red, "-"}}
	shown := map[gateway.Op]int{}
	for _, c := range changes {
		if shown[c.Op]++; !verbose && shown[c.Op] > changesShown {
			continue
		}
		mark := marks[c.Op]
		fmt.Fprintln(w, paint(mark.colour, mark.sign+" "+printable(c.Entity.Ref.String())))
		if verbose {
			writeDiff(w, c, paint)
		}
	}
	for _, op := range []gateway.Op{gateway.Create, gateway.Update, gateway.Delete} {
		if more := shown[op] - changesShown; more > 0 && !verbose {
			fmt.Fprintln(w, paint(marks[op].colour, fmt.Sprintf("%s %d more (-v shows all)", marks[op].sign, more)))
		}
	}
	if len(changes) > 0 {
		fmt.Fprintln(w)
	}
}

// writeCounts writes one line per kind and the total.
func writeCounts(w io.Writer, p *restore.Plan) error {
	var rows [][]string
	row := func(name string, n restore.Counts) {
		rows = append(rows, []string{name, strconv.Itoa(n.Create), strconv.Itoa(n.Update), strconv.Itoa(n.Delete), strconv.Itoa(n.Unchanged)})
	}
	for _, k := range slices.SortedFunc(maps.Keys(p.Kinds), gateway.Kind.Compare) {
		row(string(k), p.Kinds[k])
	}
	row("total", p.Total)
	return table(w, []string{"KIND", "CREATE", "UPDATE", "DELETE", "UNCHANGED"}, rows)
}

// showResult writes the result.
func (a *app) showResult(r *restore.Result) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	if r.Incomplete != nil || r.Actual == "" || a.Quiet {
		return nil // the error says it all, if there is one
	}
	verdict := "verified"
	switch {
	case !r.Verified:
		verdict = "NOT verified"
	case len(r.DataPlane) == 0:
		verdict = "configuration verified"
	case keysNeeded(r.DataPlane) && !keysProven(r.DataPlane):
		verdict = "verified but for keys"
	}
	equal := "as planned"
	if r.Actual != r.Expected {
		equal = "NOT as planned, which is " + r.Expected
	}
	undo := ""
	if r.Undo != "" {
		undo = fmt.Sprintf("  to undo         gwdr restore --at %s\n", r.Undo)
	}
	doubt := ""
	if r.Doubt != nil {
		doubt = fmt.Sprintf(", known up to %s", r.Doubt.Since.Format(time.RFC3339))
	}
	_, err := fmt.Fprintf(a.Stdout, `Restored point %s in %.1f s: %s
  recovery point  %s, revision %d
  parent          %s
  read from       %s
  changes         %d created, %d updated, %d deleted, %d unchanged
  revocations     %s beyond the point%s
  digest          %s, %s
  data plane      %s
%s%s`, path.Base(r.Point), r.Duration, verdict, r.Time.UTC().Format(time.RFC3339), r.Revision, r.Parent, provenance(r.Provenance),
		r.Created, r.Updated, r.Deleted, r.Unchanged, count(r.Revoked, "revocation"), doubt, r.Actual, equal, dataPlaneLine(r.DataPlane), keysLine(r.DataPlane), undo)
	return err
}

// dataPlaneLine says how the probes of the data plane went.
func dataPlaneLine(checks []restore.Check) string {
	if len(checks) == 0 {
		return "NOT probed: add --probe http://HOST:PORT"
	}
	passed, instances := 0, map[string]bool{}
	for _, c := range checks {
		if instances[c.Name+c.Instance] = true; c.OK {
			passed++
		}
	}
	return fmt.Sprintf("%d of %d checks passed, at %s", passed, len(checks), count(len(instances), "instance"))
}

// keysNeeded reports whether a route was asked that needs a key.
func keysNeeded(checks []restore.Check) bool {
	return slices.ContainsFunc(checks, func(c restore.Check) bool { return c.Want == "401" })
}

// keysProven reports whether a key was tried that works.
func keysProven(checks []restore.Check) bool {
	tried := restore.KeysTried(checks)
	return tried[restore.Live]+tried[restore.Issued] > 0
}

// keysLine says which keys were tried, and is empty if no route was asked that needs one.
func keysLine(checks []restore.Check) string {
	if !keysNeeded(checks) {
		return ""
	}
	tried := restore.KeysTried(checks)
	var parts []string
	for _, fate := range []restore.Fate{restore.Live, restore.Issued, restore.Revoked, restore.Expired, restore.Unknown} {
		if n := tried[fate]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, fate))
		}
	}
	var line string
	if len(parts) > 0 {
		line += "tried " + strings.Join(parts, ", ") + "; "
	}
	failed := 0
	for _, c := range checks {
		if c.Key != "" && !c.OK {
			failed++
		}
	}
	switch {
	case failed > 0:
		line += fmt.Sprintf("%s FAILED", count(failed, "check"))
	case !keysProven(checks):
		line += "NOT one that works: --probe-issue tries a new one, --probe-keys FILE those that you have"
	default:
		line += "each as it should be"
	}
	return hang("  keys            ", 18, line) + "\n"
}

// provenance says how much was read from where.
func provenance(objects map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		parts = append(parts, fmt.Sprintf("%s (%s)", name, count(objects[name], "entity")))
	}
	if len(parts) == 0 {
		return "nowhere"
	}
	return strings.Join(parts, ", ")
}

// count returns the number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok && !strings.HasSuffix(stem, "e") { // entities, but keys
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// verb returns the form that goes with the number.
func verb(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// printable keeps what a stranger chose, such as an id, on one line, and from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
