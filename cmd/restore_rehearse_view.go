package cmd

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// showRehearsal writes what came of a rehearsal: nothing if it passed and nobody wants to know.
func (a *app) showRehearsal(r *rehearsal) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	if a.Quiet || r.plan == nil {
		return nil // the error says it all, if there is one
	}
	verdict := "passed"
	if r.err != nil {
		verdict = "FAILED"
	}
	equal := "NOT read back"
	switch r.Actual {
	case "":
	case r.Expected:
		equal = "as planned"
	default:
		equal = "NOT as planned, but " + r.Actual
	}
	fmt.Fprintf(a.Stdout, `Rehearsed the restore of point %s in %.1f s: %s
  recovery point  %s (%s old), revision %d
  read from       %s
  restored        %s%s
  digest          %s, %s
  data plane      %d of %d checks passed
%s`, path.Base(r.Point), r.Total, verdict, r.Time.UTC().Format(time.RFC3339), r.Started.Sub(r.Time).Round(time.Second), r.Revision,
		provenance(r.Provenance), count(r.Entities, "entity"), r.narrowed(), r.Expected, equal, r.passed(), len(r.Checks), keysLine(r.Checks))
	for _, c := range r.Checks {
		if !c.OK {
			fmt.Fprintf(a.Stdout, "  FAILED          %s\n", printable(c.String()))
		}
	}
	attested := "no"
	if r.Attested != nil && len(r.Attested.Locations) > 0 {
		attested = fmt.Sprintf("%s, at %s, by %s", r.Attested.Result, strings.Join(r.Attested.Locations, ", "), r.Attested.Signer)
	}
	fmt.Fprintf(a.Stdout, "  attested        %s\n\n", attested)
	var rows [][]string
	for _, p := range r.Phases {
		rows = append(rows, []string{p.Name, fmt.Sprintf("%.3f", p.Seconds)})
	}
	return table(a.Stdout, []string{"PHASE", "SECONDS"}, append(rows, []string{"total", fmt.Sprintf("%.3f", r.Total)}))
}

// narrowed says that not all was restored.
func (r *rehearsal) narrowed() string {
	if parts := slices.Concat(r.Only, r.Match); len(parts) > 0 {
		return ": only " + strings.Join(parts, ", ")
	}
	return ""
}
