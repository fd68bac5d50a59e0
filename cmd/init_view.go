package cmd

import (
	"fmt"
	"strconv"
	"strings"

	"gwdr/backup"
)

// configText is gwdr.yaml. Text in double quotes reads the same in YAML as in Go.
func configText(opts initOptions, locations []namedLocation, policy backup.Policy, keys backup.KeyFiles) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by gwdr init. GWDR_* variables and flags win over what is here.\n")
	fmt.Fprintf(&b, "gateway: %q\n\nlocations:\n", opts.gateway)
	for _, l := range locations {
		fmt.Fprintf(&b, "  %q: {url: %q, media: %q, site: %q", l.name, l.URL, l.Media, l.Site)
		if l.Lock != "" {
			fmt.Fprintf(&b, ", lock: %q", l.Lock)
		}
		b.WriteString("}\n")
	}
	fmt.Fprintf(&b, "\npolicy: {site: %q, copies: %d, media: %d, offsite: %d, immutable: %d, maxAge: %s}\n",
		policy.Site, policy.Copies, policy.Media, policy.Offsite, policy.Immutable, policy.MaxAge)
	b.WriteString("\nkeys:\n  recipients: # whose identities open the snapshots: this machine's, and the one in escrow\n")
	for _, r := range keys.Recipients {
		fmt.Fprintf(&b, "    - %s\n", r)
	}
	var identities []string
	for _, file := range keys.Identities {
		identities = append(identities, strconv.Quote(file))
	}
	fmt.Fprintf(&b, "  identity: [%s] # only to restore and to verify; a machine that only backs up does without\n", strings.Join(identities, ", "))
	fmt.Fprintf(&b, "  signing: %q\n  trusted: %q\n", keys.Signing, keys.Trusted)
	return b.String()
}

// showInit says what was written, and what to do with it.
func (a *app) showInit(r *initResult) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	fmt.Fprintf(a.Stdout, `configuration  %s
keys           %s
  identity         opens the snapshots. Needed to restore, not to back up. Keep a copy where a fire here does not reach.
  escrow           opens them too. Move it away now, to a safe or another person: no program needs it here.
  sign             signs the snapshots. Belongs on the machine that backs up, and nowhere else.
  allowed_signers  says whose snapshots count. Not secret, but keep a copy with each identity: without it nothing verifies.

docs/keys.md tells how to give identity, escrow and sign a passphrase, and how to replace each of them.

`, r.File, r.Keys)
	var rows [][]string
	for _, l := range r.Locations {
		rows = append(rows, []string{l.Name, l.Media, l.Site, yesNo(l.CreateOnly), yesNo(l.Immutable), l.Domain, l.URL})
	}
	if err := table(a.Stdout, []string{"LOCATION", "MEDIA", "SITE", "CREATE-ONLY", "IMMUTABLE", "FAILS WITH", "URL"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	a.showPolicy(r.Policy)
	for _, l := range r.Locations {
		if !l.CreateOnly {
			fmt.Fprintf(a.Stdout, "          %s overwrites what is there: it may hold copies, but two writers can collide at it\n", l.Name)
		}
	}
	fmt.Fprintf(a.Stdout, "\ncron, each hour:\n  %s\n", r.Cron)
	a.progress("next: move %s away, then run 'gwdr backup'", backup.EscrowFile(r.Keys))
	return nil
}
