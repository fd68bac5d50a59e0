package backup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
)

func TestCheckPolicy(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	standing := func(name, media, site, domain string) backup.Standing {
		return backup.Standing{Copy: backup.Copy{Name: name, Media: media, Site: site}, Domain: domain, Holds: true, Newest: now.Add(-time.Minute)}
	}
	local, nas, offsite := standing("local", "disk", "dc1", "device 1"), standing("nas", "nas", "dc1", "device 2"), standing("offsite", "object", "dc2", "s3")
	sameDisk := standing("nas", "nas", "dc1", "device 1")
	gone := nas
	gone.Holds = false
	old := nas
	old.Newest = now.Add(-2 * time.Hour)
	locked := offsite
	locked.Immutable = true
	rule := backup.Policy{Site: "dc1", Copies: 3, Media: 2, Offsite: 1, MaxAge: time.Hour}
	immutable := rule
	immutable.Immutable = 1
	lab := rule
	lab.Simulated = true
	nowhere := rule
	nowhere.Site = ""
	for name, c := range map[string]struct {
		policy    backup.Policy
		standings []backup.Standing
		want      string // copies media offsite immutable satisfied
		finding   string
	}{
		"met":                {rule, []backup.Standing{local, nas, offsite}, "3 3 1 0 true", ""},
		"one without it":     {rule, []backup.Standing{local, gone, offsite}, "2 2 1 0 false", "2 of 3 copies"},
		"one too old":        {rule, []backup.Standing{local, old, offsite}, "2 2 1 0 false", "nas is not counted: its newest state is 2h0m0s old"},
		"one device":         {rule, []backup.Standing{local, sameDisk, offsite}, "2 2 1 0 false", "nas is not counted: it fails together with local (device 1)"},
		"one device in lab":  {lab, []backup.Standing{local, sameDisk, offsite}, "3 3 1 0 true", "simulated: local, nas are on one device (device 1), so they are one copy, not 2"},
		"lab on two devices": {lab, []backup.Standing{local, nas, offsite}, "3 3 1 0 true", ""},
		"not immutable":      {immutable, []backup.Standing{local, nas, offsite}, "3 3 1 0 false", "0 of 1 immutable copies"},
		"immutable":          {immutable, []backup.Standing{local, nas, locked}, "3 3 1 1 true", ""},
		"site unknown":       {nowhere, []backup.Standing{local, nas, offsite}, "3 3 0 0 false", "0 of 1 copies off-site"},
		"nothing":            {rule, nil, "0 0 0 0 false", "0 of 3 copies"},
	} {
		r := backup.CheckPolicy(c.policy, c.standings, now)
		got := strings.Join([]string{itoa(r.Copies), itoa(r.Media), itoa(r.Offsite), itoa(r.Immutable), map[bool]string{true: "true", false: "false"}[r.Satisfied]}, " ")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if !strings.Contains(strings.Join(r.Findings, "\n"), c.finding) || c.finding == "" && len(r.Findings) > 0 {
			t.Errorf("%s: findings %q, want %q", name, r.Findings, c.finding)
		}
		if r.WithLive != r.Copies+1 || r.Simulated != strings.HasPrefix(c.finding, "simulated") {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func itoa(n int) string { return string(rune('0' + n)) }
