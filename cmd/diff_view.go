package cmd

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"gwdr/gateway"
	"gwdr/restore"
)

// showDrift writes how two configurations differ: to people who asked for quiet only what was not compared.
func (a *app) showDrift(d *restore.Drift, verbose bool) error {
	switch {
	case a.JSON:
		return a.writeJSON(d)
	case a.Quiet:
		a.noteFindings(slices.DeleteFunc(slices.Clone(d.Findings), func(f restore.Finding) bool {
			return !slices.Contains(d.NotCompared, gateway.Kind(f.Subject))
		}))
		return nil
	}
	return writeDrift(a.Stdout, d, a.painter(a.Stdout), verbose)
}

// writeDrift writes a drift for people.
func writeDrift(w io.Writer, d *restore.Drift, paint func(colour, text string) string, verbose bool) error {
	var b strings.Builder
	writeSide(&b, "from", d.From)
	writeSide(&b, "to", d.To)
	for _, f := range condense(d.Findings) {
		fmt.Fprintln(&b, paint(yellow, hang("! ", 2, printable(f.String()))))
	}
	fmt.Fprintln(&b)
	changes := d.Changes
	if verbose && !d.Exact {
		changes = canonical(changes)
	}
	writeChanges(&b, changes, paint, verbose)
	if verbose && len(d.Layout) > 0 {
		for _, ref := range d.Layout {
			fmt.Fprintf(&b, "= %s (differs in layout only)\n", printable(ref.String()))
		}
		fmt.Fprintln(&b)
	}
	if err := writeDriftCounts(&b, d); err != nil {
		return err
	}
	if n := len(d.Layout); n > 0 {
		fmt.Fprintf(&b, "%s in layout only, which is no drift%s.\n", differ(n), hintUnless(verbose, " (-v names them)"))
	}
	switch {
	case d.Equal && len(d.NotCompared) > 0:
		fmt.Fprintln(&b, paint(yellow, "No drift in what was compared."))
	case d.Equal:
		fmt.Fprintln(&b, paint(green, "No drift."))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func differ(n int) string {
	if n == 1 {
		return "1 differs"
	}
	return fmt.Sprintf("%d differ", n)
}

func hintUnless(known bool, hint string) string {
	if known {
		return ""
	}
	return hint
}

// writeSide says what a side is: a backup is as old as its state.
func writeSide(w io.Writer, label string, s *restore.Side) {
	taken := s.Time.Format("2006-01-02 15:04:05 UTC")
	if s.What == restore.SideGateway {
		store := "no store of its own yet"
		if s.Store != "" {
			store = "store " + printable(s.Store)
		}
		fmt.Fprintf(w, "%-5s gateway %s\n      revision %d at %s, %s\n", label, printable(s.Gateway), s.Revision, taken, store)
		return
	}
	name := "backup " + path.Base(s.Point)
	if s.Logged {
		name += " and the log after it"
	}
	fmt.Fprintf(w, "%-5s %s\n      revision %d at %s, %s old\n      lineage %s, read from %s\n", label, name, s.Revision, taken,
		elapsed(s.AgeS), s.Lineage, provenance(s.Provenance))
}

// canonical returns the changes with bodies as they were compared, so that nothing else is shown to differ.
func canonical(changes []gateway.Change) []gateway.Change {
	changes = slices.Clone(changes)
	for i, c := range changes {
		before, ok := gateway.Canonical(c.Entity.Kind, c.Old)
		after, okAfter := gateway.Canonical(c.Entity.Kind, c.Entity.Body)
		if c.Op == gateway.Update && ok && okAfter {
			changes[i].Old, changes[i].Entity.Body = before, after
		}
	}
	return changes
}

// writeDriftCounts writes one line per kind and the total.
func writeDriftCounts(w io.Writer, d *restore.Drift) error {
	var rows [][]string
	row := func(name string, n restore.DriftCounts) {
		rows = append(rows, []string{name, strconv.Itoa(n.Create), strconv.Itoa(n.Update), strconv.Itoa(n.Delete), strconv.Itoa(n.Layout), strconv.Itoa(n.Unchanged)})
	}
	for _, k := range slices.SortedFunc(maps.Keys(d.Kinds), gateway.Kind.Compare) {
		row(printable(string(k)), d.Kinds[k])
	}
	for _, k := range d.NotCompared {
		rows = append(rows, []string{printable(string(k)), "?", "?", "?", "?", "?"})
	}
	row("total", d.Total)
	return table(w, []string{"KIND", "ADDED", "CHANGED", "REMOVED", "LAYOUT", "EQUAL"}, rows)
}
