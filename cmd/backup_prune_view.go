package cmd

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"gwdr/backup"
)

// showPruning writes what was, or would be, removed.
func (a *app) showPruning(p *backup.Pruning) error {
	if a.JSON {
		return a.writeJSON(p)
	}
	if a.Quiet {
		return nil
	}
	removed := "WOULD GO"
	if p.Removed {
		removed = "REMOVED"
	}
	var rows [][]string
	objects := 0
	for _, l := range p.Locations {
		rows = append(rows, pruningRow(l))
		objects += l.Objects
	}
	if err := table(a.Stdout, []string{"LOCATION", "POINTS KEPT", "POINTS " + removed, "OBJECTS", "BYTES"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	for _, line := range keptLines(p) {
		fmt.Fprintln(a.Stdout, printable(line))
	}
	for _, l := range p.Locations {
		for _, note := range l.Notes {
			fmt.Fprintf(a.Stdout, "%s: %s\n", l.Name, printable(note))
		}
	}
	switch {
	case objects == 0 && pruneError(p) == nil:
		a.progress("nothing to remove")
	case !p.Removed && objects > 0:
		a.progress("nothing was removed; --yes removes it")
	}
	return nil
}

func pruningRow(l backup.LocationPruning) []string {
	if l.Unread {
		return []string{l.Name, "could not be read", "-", "-", "-"}
	}
	return []string{l.Name, strconv.Itoa(len(l.Kept)), strconv.Itoa(len(l.Points)), strconv.Itoa(l.Objects), size(l.Bytes)}
}

// keptLines say why points stay: once for all locations that could be read where they agree, and else with the names of those
// that a line is of.
func keptLines(p *backup.Pruning) []string {
	type kept struct{ point, reasons string }
	at := map[kept][]string{}
	var all []kept
	read := 0
	for _, l := range p.Locations {
		if !l.Unread {
			read++
		}
		for _, k := range l.Kept {
			line := kept{strings.TrimSuffix(path.Base(k.Point), ".tar"), strings.Join(k.Reasons, ", ")}
			if at[line] == nil {
				all = append(all, line)
			}
			at[line] = append(at[line], l.Name)
		}
	}
	var lines []string
	for _, k := range all {
		where := ""
		if len(at[k]) < read {
			where = " at " + strings.Join(at[k], ", ")
		}
		lines = append(lines, fmt.Sprintf("kept %s%s: %s", k.point, where, k.reasons))
	}
	return lines
}
