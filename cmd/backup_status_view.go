package cmd

import (
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gwdr/backup"
)

// wide is how many columns a text for people may take.
const wide = 80

// showStatus writes a status: what is missing first, if anything is.
func (a *app) showStatus(s *backup.Status) error {
	if a.JSON {
		return a.writeJSON(s)
	}
	missing := shortcomings(s)
	for _, m := range missing {
		wrap(a.Stdout, m.label, printable(m.text))
	}
	if len(missing) > 0 {
		fmt.Fprintln(a.Stdout)
	}
	a.showPosture(s)
	fmt.Fprintln(a.Stdout)
	var rows [][]string
	for _, l := range s.Locations {
		rows = append(rows, []string{l.Name, l.Media, l.Site, standing(s, l), elapsed(l.Age), elapsed(l.Exposure), scrubbed(l, s.Time), yesNo(l.Immutable)})
	}
	if err := table(a.Stdout, []string{"LOCATION", "MEDIA", "SITE", "STATE", "NEWEST", "EXPOSED", "SCRUBBED", "IMMUTABLE"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	label := "tested"
	for _, l := range s.Locations {
		if l.Reachable {
			wrap(a.Stdout, label, l.Name+": "+tested(l.CreateOnly, l.Tests, l.Domain))
			label = ""
		}
	}
	for _, note := range statusNotes(s) {
		wrap(a.Stdout, "note", printable(note))
	}
	return nil
}

// statusNotes is what could not be found out.
func statusNotes(s *backup.Status) []string {
	notes := slices.Clone(s.Notes)
	for _, l := range s.Locations {
		for _, note := range l.Notes {
			notes = append(notes, l.Name+": "+note)
		}
	}
	return notes
}

// showPosture writes how all locations stand together.
func (a *app) showPosture(s *backup.Status) {
	p := s.Policy
	verdict := "NOT MET"
	if p.Satisfied {
		verdict = "met"
	}
	wrap(a.Stdout, ruleName(p.Required), fmt.Sprintf("%s: %s (%d with the live one), %d media, %d off-site, %d immutable, %s", verdict,
		count(p.Copies, "copy"), p.WithLive, p.Media, p.Offsite, p.Immutable, count(p.Problems, "problem")))
	if p.Satisfied { // what is missing was said first
		for _, finding := range p.Findings {
			wrap(a.Stdout, "note", finding)
		}
	}
	if s.Newest == nil {
		wrap(a.Stdout, "exposure", "everything: nothing can be restored from any location by itself")
		return
	}
	wrap(a.Stdout, "exposure", elapsed(s.Exposure)+exposed(s))
	newest := path.Base(s.Newest.Point)
	if s.Newest.Segments > 0 {
		newest += fmt.Sprintf(" and %s of the log, up to revision %d", count(int(s.Newest.Segments), "segment"), s.Newest.Revision)
	}
	wrap(a.Stdout, "newest", newest)
	wrap(a.Stdout, "content", inventory(s.Newest.Entities))
	if s.Rehearsed != nil {
		wrap(a.Stdout, "restored", ago(*s.Rehearsed, s.Time)+", in a rehearsal that passed")
	}
	label := "keys"
	for _, t := range s.Recipients {
		wrap(a.Stdout, label, shortRecipient(t.Recipient)+" "+opens(t))
		label = ""
	}
	if w := s.Waiting; w != (backup.Waiting{}) {
		wrap(a.Stdout, "waiting", fmt.Sprintf("%s and %s in the spool, for a location that missed them", count(w.Points, "point"), count(int(w.Segments), "segment")))
	}
}

// opens says whether a recipient's identity opens the newest point.
func opens(t backup.RecipientTest) string {
	switch {
	case t.Opens:
		return "opens it"
	case t.Tested:
		return "does NOT open it"
	}
	return "was not tested: " + printable(t.Detail)
}

// ruleName is the rule that is asked for, as people call it: 3-2-1, 3-2-1-1 with an immutable copy, and 3-2-1-1-0 if all
// must be read back as well.
func ruleName(r backup.Required) string {
	name := fmt.Sprintf("%d-%d-%d", r.Copies, r.Media, r.Offsite)
	if r.Immutable > 0 {
		name += fmt.Sprintf("-%d", r.Immutable)
		if r.MaxScrub > 0 {
			name += "-0"
		}
	}
	return name
}

// exposed says what an exposure means, by what the gateway says.
func exposed(s *backup.Status) string {
	g := s.Gateway
	switch {
	case g == nil:
		return ": changes since then would be lost if the gateway died now"
	case g.Ahead == nil:
		return fmt.Sprintf(": changes since then would be lost if the gateway died now; the gateway %s", printable(g.Note))
	case *g.Ahead == 0:
		return ", in which the gateway has not changed: nothing would be lost"
	}
	return fmt.Sprintf(": %s would be lost if the gateway died now", count(int(*g.Ahead), "revision"))
}

// standing is a location's state in a word or two.
func standing(s *backup.Status, l backup.LocationStatus) string {
	switch {
	case !l.Reachable:
		return "UNREACHABLE"
	case l.Newest == "":
		return "NO POINT"
	case !l.Complete:
		return "INCOMPLETE"
	case len(l.Problems) > 0:
		return "PROBLEM"
	case stale(s, l.Exposure):
		return "STALE"
	case l.Behind != nil && *l.Behind > 0:
		return "behind " + elapsed(l.Behind)
	}
	return "ok"
}

func scrubbed(l backup.LocationStatus, now time.Time) string {
	if l.Scrubbed == nil {
		return "never"
	}
	return ago(*l.Scrubbed, now)
}

func ago(t, now time.Time) string {
	seconds := now.Sub(t).Seconds()
	return elapsed(&seconds) + " ago"
}

// tested says what a location was shown to withstand, and with what it fails.
func tested(createOnly bool, tests []backup.Test, domain string) string {
	parts := []string{"create-only"}
	switch {
	case createOnly:
	case len(tests) == 0:
		parts[0] = "not tested"
	default:
		parts[0] = "NOT create-only"
	}
	for _, t := range tests {
		parts = append(parts, testText(t))
	}
	if domain != "" {
		parts = append(parts, "fails with "+domain)
	}
	return printable(strings.Join(parts, ", "))
}

// testText is the outcome of one test in words.
func testText(t backup.Test) string {
	switch {
	case t.What == "lock" && t.Detail != "":
		return "lock: " + t.Detail
	case t.What == "lock" && t.Denied:
		return "locked"
	case t.What == "lock":
		return "no lock"
	case t.Denied:
		return "withstands " + t.What
	}
	return t.What + " succeeds"
}

// elapsed shows a number of seconds by its two largest units; nil is none.
func elapsed(seconds *float64) string {
	if seconds == nil {
		return "-"
	}
	d := time.Duration(*seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// wrap writes text beside a label, in lines that fit a terminal; a word that does not is left whole.
func wrap(w io.Writer, label, text string) {
	fmt.Fprintln(w, hang(fmt.Sprintf("%-10s ", label), 11, text))
}

// hang returns the text after its label, in lines that fit a terminal, all but the first one indented.
func hang(label string, indent int, text string) string {
	var b strings.Builder
	line := label
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > wide:
			b.WriteString(line + "\n")
			line = strings.Repeat(" ", indent) + word
		case i > 0:
			line += " " + word
		default:
			line += word
		}
	}
	return b.String() + line
}
