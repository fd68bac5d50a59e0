package cmd

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"

	"gwdr/backup"
	"gwdr/gateway"
)

// table writes rows under a header, without lines: a log can hold it and awk can read it.
func table(w io.Writer, header []string, rows [][]string) error {
	var b strings.Builder
	t := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone, Symbols: tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off), tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft), tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}))
	t.Header(header)
	for _, row := range rows {
		if err := t.Append(row); err != nil {
			return fmt.Errorf("write table: %w", err)
		}
	}
	if err := t.Render(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	for line := range strings.Lines(b.String()) {
		if _, err := fmt.Fprintln(w, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// size shows a number of bytes.
func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// inventory shows how many entities of each kind there are.
func inventory(counts map[gateway.Kind]int) string {
	var parts []string
	for _, kind := range slices.SortedFunc(maps.Keys(counts), gateway.Kind.Compare) {
		parts = append(parts, count(counts[kind], string(kind)))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// showBackup writes the result of a backup.
func (a *app) showBackup(r *backup.Result) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	fmt.Fprintf(a.Stdout, "point     %s\n", path.Base(r.Point))
	fmt.Fprintf(a.Stdout, "lineage   %s, revision %d\n", r.Lineage, r.Revision)
	if r.Parent != "" {
		fmt.Fprintf(a.Stdout, "parent    %s\n", r.Parent)
	}
	fmt.Fprintf(a.Stdout, "content   %s\n", inventory(r.Entities))
	what := "everything"
	if !r.Full {
		what = count(r.Changes, "change") + " since the last point"
	}
	fmt.Fprintf(a.Stdout, "taken     %s: %s in %.1f s\n", what, size(r.Bytes), r.Duration)
	if len(r.Unreachable) > 0 {
		fmt.Fprintf(a.Stdout, "MISSING   the gateway would not give: %v\n", r.Unreachable)
	}
	fmt.Fprintln(a.Stdout)
	var rows [][]string
	for _, l := range r.Locations {
		rows = append(rows, []string{l.Name, l.Media, l.Site, outcome(l), size(l.Bytes), fmt.Sprintf("%.2f s", l.Duration),
			shown(l, l.CreateOnly), shown(l, l.Immutable)})
	}
	if err := table(a.Stdout, []string{"LOCATION", "MEDIA", "SITE", "STATE", "SENT", "TIME", "CREATE-ONLY", "IMMUTABLE"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	for _, l := range r.Locations {
		if text := l.Note; text != "" && l.OK { // why one failed is in the error
			fmt.Fprintf(a.Stdout, "%s: %s\n", l.Name, printable(text))
		}
	}
	a.showPolicy(r.Policy)
	return nil
}

// shown is what a test of the location came to.
func shown(l backup.LocationResult, ok bool) string {
	if l.Note != "" { // which says why there was none
		return "-"
	}
	return yesNo(ok)
}

func outcome(l backup.LocationResult) string {
	switch {
	case !l.OK:
		return "FAILED"
	case l.Error != "":
		return "incomplete"
	case l.CaughtUp > 0:
		return "ok, +" + strconv.Itoa(l.CaughtUp) + " earlier"
	}
	return "ok"
}

func (a *app) showPolicy(p backup.PolicyResult) {
	verdict := "met"
	if !p.Satisfied {
		verdict = "NOT MET"
	}
	fmt.Fprintf(a.Stdout, "3-2-1     %s: %s (%d with the live one), %d media, %d off-site, %d immutable\n",
		verdict, count(p.Copies, "copy"), p.WithLive, p.Media, p.Offsite, p.Immutable)
	for _, finding := range p.Findings {
		fmt.Fprintf(a.Stdout, "          %s\n", finding)
	}
}

// showPoints writes a list of points.
func (a *app) showPoints(list pointList) error {
	if a.JSON {
		return a.writeJSON(list)
	}
	if len(list.Points) == 0 && len(list.Problems) == 0 {
		a.progress("there is no point yet; 'gwdr backup' takes one")
	}
	if len(list.Points) > 0 {
		var rows [][]string
		for _, p := range list.Points {
			n := 0
			for _, k := range p.Entities {
				n += k
			}
			lineage := p.Lineage[:8]
			if p.Undo {
				lineage += " (undo)"
			}
			if p.Stray {
				lineage += " (stray)"
			}
			rows = append(rows, []string{strings.TrimPrefix(p.Name, "points/"), p.Time.Format(time.RFC3339), strconv.FormatInt(p.Revision, 10),
				strconv.Itoa(n), size(p.Bytes), lineage, strings.Join(p.Locations, ",")})
		}
		if err := table(a.Stdout, []string{"POINT", "TIME", "REVISION", "ENTITIES", "SIZE", "LINEAGE", "LOCATIONS"}, rows); err != nil {
			return err
		}
	}
	writeProblems(a.Stdout, list.Problems)
	return nil
}

func writeProblems(w io.Writer, problems []backup.Problem) {
	for _, p := range problems {
		where := p.Copy
		if p.Object != "" {
			where += " " + p.Object
		}
		fmt.Fprintf(w, "PROBLEM at %s: %s\n", printable(where), printable(p.Text))
		if len(p.Whole) > 0 {
			fmt.Fprintf(w, "  whole at %s: restores read it there\n", strings.Join(p.Whole, ", "))
		}
	}
}
