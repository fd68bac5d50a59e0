package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/restore"
)

// allLocations is the value of --from-backup that means every configured location.
const allLocations = "all"

// fromBackup says what a gateway serves from when there is no other one to follow.
type fromBackup struct {
	from      []string // values of --from-backup; none: it is an ordinary gateway
	locations []string // of these, and of the words after them, by name or URL; none: all that are configured
	at        string
	poll      time.Duration
}

func (b *fromBackup) addFlags(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&b.from, "from-backup", nil, "serve the newest state that the backups at this `location` give, by its name in gwdr.yaml or its URL; "+
		"repeatable; alone, or all: every configured location")
	f.Lookup("from-backup").NoOptDefVal = allLocations
	f.StringVar(&b.at, "at", "", "with --from-backup: `time`, duration back from now or point, as for gwdr restore; nothing newer is followed then but revocations")
	f.DurationVar(&b.poll, "poll", 5*time.Second, "with --from-backup: how often to look for newer backups")
	completeFlag(cmd, "from-backup", completeList(a.locationNames))
}

// arguments takes the words after --from-backup for locations: they cannot be anything else.
func (b *fromBackup) arguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 && len(b.from) == 0 {
		return fmt.Errorf("unexpected %q; locations to serve from come after --from-backup", args[0])
	}
	for _, location := range slices.Concat(b.from, args) {
		if location != allLocations && !slices.Contains(b.locations, location) {
			b.locations = append(b.locations, location)
		}
	}
	return nil
}

// checkBackup refuses what does not go with --from-backup.
func (o *serveOptions) checkBackup() error {
	switch b := o.backup; {
	case len(b.from) == 0 && b.at != "":
		return errors.New("--at is for --from-backup")
	case len(b.from) == 0:
		return nil
	case o.role == roleControl:
		return errors.New("--from-backup serves traffic: it is for --role all and --role data")
	case o.control != "" || len(o.peers) > 0 || o.replication != replicationNone || o.lead:
		return errors.New("--from-backup follows backups: it does not go with --control, --peer, --replication and --leader")
	case b.poll <= 0:
		return fmt.Errorf("--poll must be positive, not %s", b.poll)
	}
	return nil
}

// backupSource opens what --from-backup names.
func (a *app) backupSource(ctx context.Context, b fromBackup) (s restore.Source, err error) {
	if s.At, err = restore.ParseAt(b.at, time.Now()); err != nil {
		return s, usageError(fmt.Errorf("--at: %w", err))
	}
	names, urls := b.named()
	if s.Copies, s.Elsewhere, err = a.copiesFor(ctx, names, urls); err != nil {
		return s, err
	}
	if k := a.Config.Keys; len(urls) > 0 && len(a.Config.Locations) == 0 && (len(k.Identity) == 0 || k.Trusted == "") {
		return s, withHint(usageError(errors.New("no keys are configured")),
			"set GWDR_KEYS_IDENTITY to the identity, and GWDR_KEYS_TRUSTED to the file of trusted signers, or name a gwdr.yaml by --config")
	}
	s.Keys, err = a.openReaderKeys(ctx)
	s.Log = a.Log
	return s, err
}

// named tells the locations that are named from those that are given by their URL.
func (b *fromBackup) named() (names, urls []string) {
	for _, location := range b.locations {
		if strings.Contains(location, "://") {
			urls = append(urls, location)
		} else {
			names = append(names, location)
		}
	}
	return names, urls
}

// copiesFor opens the locations, or all that are configured; the others still tell what was revoked.
func (a *app) copiesFor(ctx context.Context, names, urls []string) (copies, others []backup.Copy, err error) {
	if len(urls) == 0 || len(a.Config.Locations) > 0 {
		configured, err := a.openCopies(ctx)
		if err != nil {
			return nil, nil, err
		}
		if copies, others, err = pickCopies(configured, names); err != nil {
			return nil, nil, usageError(fmt.Errorf("--from-backup: %w", err))
		}
		if len(urls) > 0 && len(names) == 0 { // nobody named one
			copies, others = nil, configured
		}
	} else if len(names) > 0 {
		return nil, nil, usageError(fmt.Errorf("--from-backup %s: no locations are configured; give its URL", names[0]))
	}
	for _, location := range urls {
		c, err := a.openURL(ctx, location)
		if err != nil {
			return nil, nil, usageError(fmt.Errorf("--from-backup: %w", err))
		}
		copies = append(copies, c)
		others = slices.DeleteFunc(slices.Clone(others), func(o backup.Copy) bool { return o.Name == c.Name })
	}
	return copies, others, nil
}

// openURL opens a location by its URL, which may be that of a configured one.
func (a *app) openURL(ctx context.Context, location string) (backup.Copy, error) {
	for _, name := range slices.Sorted(maps.Keys(a.Config.Locations)) {
		if c := a.Config.Locations[name]; c.URL == location {
			return a.openCopy(ctx, name, c)
		}
	}
	name := "the given location" // the URL may hold a password
	if u, err := url.Parse(location); err == nil {
		name = u.Scheme + "://" + u.Host + u.Path
	}
	return a.openCopy(ctx, name, LocationConfig{URL: location})
}
