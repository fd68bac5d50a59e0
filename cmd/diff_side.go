package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/gateway"
	"gwdr/restore"
)

// liveSide is what the configured gateway is called on the command line, and the backups.
const (
	liveSide   = "live"
	backupSide = "backup"
)

// sideArg is one side of a comparison, as it was named.
type sideArg struct {
	Backup bool
	At     restore.At // of a backup
	URL    string     // of a gateway; empty: the configured one
}

// parseSides reads FROM and TO: by default the newest backup, and the configured gateway.
func parseSides(args []string, now time.Time) (from, to sideArg, err error) {
	from = sideArg{Backup: true}
	if len(args) > 0 {
		if from, err = parseSide("FROM", args[0], now); err != nil {
			return from, to, err
		}
	}
	if len(args) > 1 {
		if to, err = parseSide("TO", args[1], now); err != nil {
			return from, to, err
		}
	}
	if from == to && !from.Backup {
		return from, to, withHint(usageError(errors.New("FROM and TO are the same gateway")), "'gwdr diff' compares it with the newest backup")
	}
	return from, to, nil
}

// parseSide reads backup, backup@WHEN, live or a gateway's URL.
func parseSide(name, text string, now time.Time) (sideArg, error) {
	what, when, dated := strings.Cut(text, "@")
	switch {
	case text == backupSide:
		return sideArg{Backup: true}, nil
	case text == liveSide:
		return sideArg{}, nil
	case dated && what == backupSide:
		at, err := restore.ParseAt(when, now)
		if err == nil && at == (restore.At{}) {
			err = errors.New("no time, duration or point after backup@")
		}
		if err != nil {
			return sideArg{}, usageError(fmt.Errorf("%s: %w", name, err))
		}
		return sideArg{Backup: true, At: at}, nil
	case strings.Contains(text, "://"):
		return sideArg{URL: text}, nil
	}
	err := usageError(fmt.Errorf("%s: %q is none of backup, backup@WHEN, live and a gateway's URL such as gwdr+http://127.0.0.1:8081", name, text))
	if at, noWhen := restore.ParseAt(text, now); noWhen == nil && at != (restore.At{}) {
		return sideArg{}, withHint(err, "backup@%s is the backup of that time", text)
	}
	return sideArg{}, withHint(err, "to read the backups of one location: gwdr diff --from LOCATION")
}

// sideOpener opens sides; the locations and keys only once, as a passphrase may have to be typed.
type sideOpener struct {
	*app
	From []string // locations to read backups from; none means all

	source *restore.Source
}

// open opens one side, and reads nothing of it yet.
func (o *sideOpener) open(ctx context.Context, side sideArg) (reader, error) {
	if !side.Backup {
		opened, err := o.openControl(ctx, side.URL)
		if err != nil {
			return nil, err
		}
		name := "gwdr+" + opened.Admin.String()
		if opened.Lab != nil {
			name = "lab"
		}
		return gatewayReader(name, opened.Target), nil
	}
	if o.source == nil {
		if err := o.openSource(ctx); err != nil {
			return nil, err
		}
	}
	source := *o.source
	source.At = side.At
	return backupReader(&source), nil
}

func (o *sideOpener) openSource(ctx context.Context) error {
	copies, err := o.openCopies(ctx)
	if err != nil {
		return err
	}
	o.noteLab()
	if copies, _, err = pickCopies(copies, o.From); err != nil {
		return usageError(fmt.Errorf("--from: %w", err))
	}
	keys, err := o.openReaderKeys(ctx)
	if err != nil {
		return err
	}
	o.source = &restore.Source{Copies: copies, Keys: keys, Log: o.Log, Progress: func(text string) { o.progress("%s", text) }}
	return nil
}

// backupReader reads what the backups give.
func backupReader(source *restore.Source) reader {
	return func(ctx context.Context) (*restore.Side, error) {
		s, err := source.Read(ctx)
		if err != nil {
			if s == nil {
				return nil, err
			}
			return &restore.Side{What: restore.SideBackup, Findings: s.Findings}, err
		}
		return s.Side(time.Now()), nil
	}
}

// gatewayReader reads a gateway, which is shown under the name.
func gatewayReader(name string, source gateway.Source) reader {
	return func(ctx context.Context) (*restore.Side, error) {
		e, err := source.Export(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", restore.ErrTarget, err)
		}
		return restore.GatewaySide(name, e), nil
	}
}

// completeSides offers what FROM and TO may be.
func completeSides(_ *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	switch {
	case len(args) > 1:
		return nil, cobra.ShellCompDirectiveNoFileComp
	case strings.HasPrefix(typed, "backup@"):
		return []cobra.Completion{cobra.CompletionWithDesc("backup@1h", "an hour ago"), cobra.CompletionWithDesc("backup@1d", "a day ago")},
			cobra.ShellCompDirectiveNoFileComp
	case strings.HasPrefix(typed, "g"):
		return []cobra.Completion{"gwdr+http://", "gwdr+https://"}, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	return []cobra.Completion{cobra.CompletionWithDesc(backupSide, "the newest state of the backups"), cobra.CompletionWithDesc("backup@1d", "a day ago"),
			cobra.CompletionWithDesc(liveSide, "the configured gateway"), cobra.CompletionWithDesc("gwdr+http://", "another gateway")},
		cobra.ShellCompDirectiveNoFileComp
}
