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
	fmt.Fprintf(&b, "gateway: %q\n\n", opts.gateway)
	b.WriteString("# What has to stay from run to run: the spool, and what is known of the gateway's lineage. Whoever runs gwdr with another one\n" +
		"# is another writer, and ends with exit code 9.\n")
	fmt.Fprintf(&b, "state: %q\n\nlocations:\n", opts.state)
	for _, l := range locations {
		fmt.Fprintf(&b, "  %q: {url: %q, media: %q, site: %q", l.name, l.URL, l.Media, l.Site)
		if l.Lock != "" {
			fmt.Fprintf(&b, ", lock: %q", l.Lock)
		}
		b.WriteString("}\n")
	}
	b.WriteString("\n# What 'gwdr backup status' holds the locations against. maxAge bounds the age of what each gives back by itself, maxScrub\n" +
		"# the time since each was last read back whole ('gwdr backup verify').\n")
	fmt.Fprintf(&b, "policy: {site: %q, copies: %d, media: %d, offsite: %d, immutable: %d, maxAge: %.0fh, maxScrub: %.0fh}\n",
		policy.Site, policy.Copies, policy.Media, policy.Offsite, policy.Immutable, policy.MaxAge.Hours(), policy.MaxScrub.Hours())
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
	b.WriteString(`
# A monitor such as healthchecks.io learns when a backup begins and how it ends; its URL is a secret, so GWDR_PING may be the
# better place. node_exporter's textfile collector reads the metrics.
#ping: {url: https://hc-ping.com/...}
#metrics_file: /var/lib/prometheus/node-exporter/gwdr.prom

# Where a restore is proven, and with which API keys: a live and a revoked one, one a line (docs/restore.md, "Read the result").
#probe: {urls: ["gwdr+http://HOST:8081"], keys: probe-keys}
`)
	return b.String()
}

// showInit says what was written, and what to do with it.
func (a *app) showInit(r *initResult) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	if a.Quiet {
		return nil
	}
	fmt.Fprintf(a.Stdout, `configuration  %s
keys           %s
  identity         opens the snapshots. Needed to restore, not to back up. Keep a copy where a fire here does not reach.
  escrow           opens them too. Move it away now, to a safe or another person: no program needs it here.
  sign             signs the snapshots. Belongs on the machine that backs up, and nowhere else.
  allowed_signers  says whose snapshots count. Not secret, but keep a copy with each identity: without it nothing verifies.
state          %s
                   Belongs to the user who backs up: what is sealed and not everywhere yet waits there.

docs/keys.md tells how to give identity, escrow and sign a passphrase, and how to replace each of them.

`, r.File, r.Keys, r.State)
	var rows [][]string
	for _, l := range r.Locations {
		rows = append(rows, []string{l.Name, l.Media, l.Site, yesNo(l.CreateOnly), yesNo(l.Immutable), l.Domain, l.URL})
	}
	if err := table(a.Stdout, []string{"LOCATION", "MEDIA", "SITE", "CREATE-ONLY", "IMMUTABLE", "FAILS WITH", "URL"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(a.Stdout)
	label := "tested"
	for _, l := range r.Locations {
		wrap(a.Stdout, label, l.Name+": "+tested(l.CreateOnly, l.Tests, ""))
		label = ""
	}
	fmt.Fprintln(a.Stdout)
	a.showPolicy(r.Policy)
	for _, l := range r.Locations {
		if !l.CreateOnly {
			fmt.Fprintf(a.Stdout, "          %s overwrites what is there: it may hold copies, but two writers can collide at it\n", l.Name)
		}
	}
	fmt.Fprintf(a.Stdout, "\ncron: a backup every 15 minutes, each day how safe they are, each week every byte read back\n  %s\n", r.Cron)
	for _, line := range r.Checks {
		fmt.Fprintf(a.Stdout, "  %s\n", line)
	}
	a.progress("next: move %s away, then run 'gwdr backup'", backup.EscrowFile(r.Keys))
	return nil
}
