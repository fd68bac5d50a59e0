package cmd

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"gwdr/backup"
)

// maxShown is how many problems of one location are shown; --json has all.
const maxShown = 20

// showVerification writes what a verification found. unusable: an identity could not be used, so that what was not decrypted
// says nothing of it.
func (a *app) showVerification(v *backup.Verification, keys backup.Keys, unusable bool) error {
	if a.JSON {
		return a.writeJSON(v)
	}
	if a.Quiet {
		return nil
	}
	var rows [][]string
	for _, l := range v.Locations {
		rows = append(rows, []string{l.Name, strconv.Itoa(l.Points), strconv.Itoa(l.Objects), size(l.Bytes), strconv.Itoa(len(l.Problems))})
	}
	if err := table(a.Stdout, []string{"LOCATION", "POINTS", "OBJECTS", "READ", "PROBLEMS"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	for _, l := range v.Locations {
		if l.Elsewhere > 0 {
			fmt.Fprintf(a.Stdout, "%s: %s only elsewhere: pruned here, or from before this location\n", printable(l.Name), count(l.Elsewhere, "older point"))
		}
	}
	unhealed := map[[2]string]string{}
	for _, r := range v.Repairs {
		unhealed[[2]string{r.Copy, r.Object}] = r.Error
	}
	for _, l := range v.Locations {
		a.showFindings(l, unhealed)
	}
	a.showHealed(v.Repairs)
	for _, l := range v.Logs {
		a.showLog(l)
	}
	for _, lost := range v.Lost {
		name, reason, _ := strings.Cut(lost, ": ")
		fmt.Fprintf(a.Stdout, "LOST %s\n", printable(shortened(name)))
		if reason != "" {
			fmt.Fprintf(a.Stdout, "  %s\n", printable(shortened(reason)))
		}
	}
	for _, sealed := range v.Sealed {
		if unusable { // the error says why
			break
		}
		fmt.Fprintf(a.Stdout, "CANNOT DECRYPT %s\n  intact, but the identity %s does not open it\n", printable(shortened(sealed)), keys.IdentityFile)
	}
	a.showVerdict(v, keys)
	return nil
}

// showFindings writes the problems of a location; unhealed has the reason by location and object.
func (a *app) showFindings(l backup.LocationVerification, unhealed map[[2]string]string) {
	for i, p := range l.Problems {
		if i == maxShown {
			fmt.Fprintf(a.Stdout, "PROBLEM at %s: %d more; --json has all\n", printable(l.Name), len(l.Problems)-i)
			return
		}
		if p.Object == "" {
			fmt.Fprintf(a.Stdout, "PROBLEM at %s\n  %s\n", printable(p.Copy), printable(p.Text))
			continue
		}
		a.showObject("PROBLEM", p.Copy, p.Object)
		fmt.Fprintf(a.Stdout, "  %s\n", printable(ofItself(p.Text, p.Object)))
		if len(p.Whole) > 0 {
			fmt.Fprintf(a.Stdout, "  whole at %s: restores read it there\n", strings.Join(p.Whole, ", "))
		}
		if reason := unhealed[[2]string{p.Copy, p.Object}]; reason != "" {
			fmt.Fprintf(a.Stdout, "  NOT HEALED: %s\n", printable(ofItself(reason, p.Object)))
		}
	}
}

// showObject writes what is said of an object at a location. The name is that within the lineage.
func (a *app) showObject(what, location, object string) {
	lineage, name := "", strings.TrimPrefix(object, "gwdr1/")
	if before, after, ok := strings.Cut(name, "/"); ok {
		lineage, name = fmt.Sprintf(", lineage %.12s", before), after
	}
	fmt.Fprintf(a.Stdout, "%s at %s%s\n  %s\n", what, printable(location), printable(lineage), printable(shortened(name)))
}

// shortened cuts what is long in an object's name, in the text: the lineage and the hash of a pack are known by their
// beginnings.
func shortened(text string) string {
	const begin = 12
	words := strings.FieldsFunc(text, func(c rune) bool { return c == '/' || c == '.' || c == ' ' || c == ':' })
	for _, word := range words {
		if len(word) >= 32 && strings.Trim(word, "0123456789abcdef") == "" {
			text = strings.ReplaceAll(text, word, word[:begin]+"...")
		}
	}
	return text
}

// ofItself takes the object's name out of an error about it.
func ofItself(text, object string) string {
	return shortened(strings.ReplaceAll(text, object, "it"))
}

// showHealed writes what was put back.
func (a *app) showHealed(repairs []backup.Repair) {
	healed := slices.DeleteFunc(slices.Clone(repairs), func(r backup.Repair) bool { return !r.Healed })
	for i, r := range healed {
		if i == maxShown {
			fmt.Fprintf(a.Stdout, "HEALED %d more; --json has all\n", len(healed)-i)
			return
		}
		a.showObject("HEALED", r.Copy, r.Object)
		if r.From == r.Copy {
			fmt.Fprintln(a.Stdout, "  it was whole when it was read again")
			continue
		}
		fmt.Fprintf(a.Stdout, "  put back as it is at %s\n", printable(r.From))
		if r.Moved != "" {
			where, _, _ := strings.Cut(r.Moved, "/")
			fmt.Fprintf(a.Stdout, "  what was there is in %s now; --json has its name\n", printable(where))
		}
	}
}

// showLog writes what is known of one lineage's log: what it declares is a fact, all else is not as it should be.
func (a *app) showLog(l backup.LogVerification) {
	fmt.Fprintf(a.Stdout, "log       %.12s: segments %d to %d", l.Lineage, l.First, l.Last)
	if l.Segments > 0 {
		fmt.Fprintf(a.Stdout, ", revision %d, %s", l.Revision, l.Time.Format(time.RFC3339))
	}
	fmt.Fprintln(a.Stdout)
	for _, gap := range l.Gaps {
		fmt.Fprintf(a.Stdout, "          gap, declared: what changed from revision %d to %d (segment %d)\n", gap.From, gap.To, gap.Seq)
	}
	for _, hole := range l.Holes {
		fmt.Fprintf(a.Stdout, "          HOLE: no location has %s\n", hole)
	}
	for _, thinned := range l.Thinned {
		fmt.Fprintf(a.Stdout, "          not kept, and no point needs it: %s\n", thinned)
	}
	for _, seq := range l.Forks {
		fmt.Fprintf(a.Stdout, "          FORK: some location has another writer's segment %d\n", seq)
	}
	for _, text := range l.Breaks {
		fmt.Fprintf(a.Stdout, "          BROKEN: %s\n", text)
	}
}

// showVerdict says what was read, and how it can be read again.
func (a *app) showVerdict(v *backup.Verification, keys backup.Keys) {
	if s := v.Sample; s != nil {
		fmt.Fprintf(a.Stdout, "sample    %d of %s, seed %d\n", s.Objects, count(s.Of, "object"), s.Seed)
	}
	decrypted := fmt.Sprintf("%d of %d decrypted", v.Decrypted, v.Points)
	switch {
	case len(keys.Identities) == 0 && keys.IdentityFile != "":
		decrypted = fmt.Sprintf("not decrypted: the identity %s is not here", keys.IdentityFile)
	case len(keys.Identities) == 0:
		decrypted = "not decrypted: no identity is configured"
	case v.Sample != nil:
		decrypted = count(v.Opened, "object") + " decrypted"
	}
	fmt.Fprintf(a.Stdout, "read %s, %s\n", count(v.Points, "point"), decrypted)
	if v.Attested != nil {
		fmt.Fprintf(a.Stdout, "attested  %s, at %s\n          by %s\n", v.Attested.Result, strings.Join(v.Attested.Locations, ", "), v.Attested.Signer)
	}
}
