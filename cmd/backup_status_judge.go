package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"gwdr/backup"
)

// shortcoming is one thing that a status lacks.
type shortcoming struct{ label, text string }

// shortcomings lists what a status lacks: what is wrong with locations, and then what follows for the policy.
func shortcomings(s *backup.Status) []shortcoming {
	var all []shortcoming
	for _, l := range s.Locations {
		for _, p := range l.Problems {
			where := l.Name
			if p.Object != "" {
				where += " " + shortObject(p.Object)
			}
			all = append(all, shortcoming{"PROBLEM", where + ": " + p.Text})
		}
	}
	if !s.Policy.Satisfied {
		for _, f := range s.Policy.Findings {
			all = append(all, shortcoming{"MISSING", f})
		}
	}
	if s.Newest != nil && len(s.Newest.Unreachable) > 0 {
		all = append(all, shortcoming{"MISSING", fmt.Sprintf("the gateway would not give: %v", s.Newest.Unreachable)})
	}
	for _, t := range s.Recipients {
		if t.Tested && !t.Opens {
			all = append(all, shortcoming{"MISSING", fmt.Sprintf("the identity of %s does not open the newest point: %s", shortRecipient(t.Recipient), t.Detail)})
		}
	}
	return all
}

// shortRecipient is the beginning of a recipient, which tells it from others.
func shortRecipient(recipient string) string { return recipient[:min(16, len(recipient))] + "..." }

// shortObject is an object's name without its lineage and without most of its hash, for people.
func shortObject(object string) string {
	parts := strings.SplitN(object, "/", 3)
	if len(parts) < 3 {
		return object
	}
	dir, file := path.Split(parts[2])
	if sum, ending, ok := strings.Cut(file, "."); ok && len(sum) == 64 {
		file = sum[:12] + "..." + ending
	}
	return dir + file
}

// statusError decides the exit code of a status, and the next step.
func statusError(s *backup.Status) error {
	if s.Sound() {
		return nil
	}
	const shown = 5
	var lines []string
	all := shortcomings(s)
	for _, m := range all[:min(shown, len(all))] {
		lines = append(lines, m.text)
	}
	if more := len(all) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	why := strings.Join(lines, "; ")
	var err error
	switch {
	case !s.Reachable():
		err = fmt.Errorf("no location could be read: %s", why)
	case s.Newest == nil && !silent(s):
		err = exitWith(exitIntegrity, fmt.Errorf("nothing can be restored: %s", why))
	default:
		err = exitWith(exitMissed, fmt.Errorf("backups are not as they should be: %s", why))
	}
	if hint := statusHint(s); hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// silent reports whether some location could not be read, which says nothing of what it holds.
func silent(s *backup.Status) bool {
	return slices.ContainsFunc(s.Locations, func(l backup.LocationStatus) bool { return !l.Reachable })
}

// statusHint is the next step: that of the worst that was found.
func statusHint(s *backup.Status) string {
	var problems []backup.Problem
	points := 0
	for _, l := range s.Locations {
		problems = append(problems, l.Problems...)
		points += l.Points
	}
	has := func(kind error) bool {
		return slices.ContainsFunc(problems, func(p backup.Problem) bool { return errors.Is(p.Err, kind) })
	}
	switch {
	case has(backup.ErrVanished):
		return "find out who deleted it before anything else, and look after the other locations; 'gwdr backup verify --all' reads all that is left"
	case points == 0 && !silent(s):
		return "'gwdr backup' takes a point"
	case has(backup.ErrIntegrity):
		return "'gwdr backup verify --all' reads every byte, and says which location has each object whole"
	case has(backup.ErrIncomplete):
		return "the next 'gwdr backup' puts packs that are missing; 'gwdr backup verify' says what else is not whole"
	case silent(s):
		return cmp.Or(awayHint(problems), catchUpHint)
	case has(backup.ErrProbe):
		return cmp.Or(awayHint(problems), "is the disk full, or mounted read-only? The next 'gwdr backup' would fail there")
	case has(backup.ErrLacking):
		return "the next 'gwdr backup' brings the newest; 'gwdr backup list' says which location has which point"
	case has(backup.ErrClock):
		return "set the clocks by NTP: the order of points goes by their time"
	case stale(s, s.Exposure):
		return "'gwdr backup' takes a new point. Does cron still run it, and to what end?"
	case slices.ContainsFunc(s.Locations, func(l backup.LocationStatus) bool { return stale(s, l.Exposure) }):
		return "the next 'gwdr backup' brings the location what it missed"
	case slices.ContainsFunc(s.Recipients, func(t backup.RecipientTest) bool { return t.Tested && !t.Opens }):
		return "'gwdr backup verify' says whether the point is damaged; 'gwdr backup --full' makes one anew, for the recipients of gwdr.yaml"
	case len(s.Policy.Unverified) > 0:
		return "'gwdr backup verify --all --attest' reads every byte, and leaves a signed record that it did"
	case !s.Policy.Satisfied:
		return "name more locations in gwdr.yaml, with their media and site, on devices and accounts of their own"
	}
	return ""
}

// stale reports whether the policy allows no state of that age.
func stale(s *backup.Status, exposure *float64) bool {
	return exposure != nil && s.Policy.Required.MaxAge > 0 && *exposure > s.Policy.Required.MaxAge
}
