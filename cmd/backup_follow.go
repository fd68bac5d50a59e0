package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
)

// followOptions are the flags of gwdr backup follow.
type followOptions struct {
	patience, heartbeat, pointEvery time.Duration
	listen                          string
	maxLag                          time.Duration
}

func newBackupFollowCommand(a *app) *cobra.Command {
	var opts followOptions
	cmd := &cobra.Command{
		Use:   "follow",
		Short: "Keep backing the gateway up, change by change, until stopped",
		Long: `Takes a backup, and then puts every change to all locations within a moment of its being made: a restore leads to the last
change that most locations have, not to the last backup. In between it takes points, so that a restore has little to
replay. It needs the bundled gateway, or one that can say what has changed.

It runs until it is stopped. A gateway or a location that is gone is tried again for ever; what waits for it is bounded,
and survives a crash. When another gwdr with a spool of its own backs the same gateway up, it stops (exit code 9). SIGTERM
and Ctrl-C make it deliver what was acknowledged first: the exit code is 0 and 130, or 3 if most locations do not have
everything.

It says little, on stderr: where it begins, when a location goes or comes back, each point. With --json these are lines of
JSON on stdout, one an event, instead of one document. With --listen there is /healthz, which answers 200 while most
locations are less than --max-lag behind the gateway and otherwise 503 with the reasons, and /metrics for Prometheus.
deploy/gwdr-follow.service runs it under systemd.`,
		Example: `  gwdr backup follow
  gwdr backup follow --listen 127.0.0.1:9641 --max-lag 30s
  gwdr backup follow --json | jq -c 'select(.event == "location-away")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupFollow(cmd.Context(), a, opts) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&opts.patience, "patience", 30*time.Second, "how long a location may keep gwdr waiting, on top of the transfer")
	flags.DurationVar(&opts.heartbeat, "heartbeat", time.Minute, "how often the log says that nothing has changed")
	flags.DurationVar(&opts.pointEvery, "point-every", 15*time.Minute, "how often to take a point, if something has changed")
	flags.StringVar(&opts.listen, "listen", "", "`address` for /healthz and /metrics; without a host it is this machine only (default off)")
	flags.DurationVar(&opts.maxLag, "max-lag", time.Minute, "how far most locations may be behind before /healthz says so")
	return cmd
}

// check refuses what cannot work.
func (o followOptions) check() error {
	for name, d := range map[string]time.Duration{"patience": o.patience, "heartbeat": o.heartbeat, "point-every": o.pointEvery, "max-lag": o.maxLag} {
		if d <= 0 {
			return fmt.Errorf("--%s must be positive, not %s", name, d)
		}
	}
	return checkAddress("--listen", o.listen)
}

func runBackupFollow(ctx context.Context, a *app, opts followOptions) error {
	if err := opts.check(); err != nil {
		return usageError(err)
	}
	o, err := a.openGateway(ctx, "")
	if err != nil {
		return err
	}
	job, err := a.backupJob(ctx, o.Target)
	if err != nil {
		return err
	}
	a.noteLab()
	job.Patience = opts.patience
	f := &backup.Follower{Job: job, Heartbeat: opts.heartbeat, PointEvery: opts.pointEvery, Notify: a.followEvent}
	stop, err := a.serveWatchers("--listen", opts.listen, "health and metrics", "", followHandler(f, opts.maxLag))
	if err != nil {
		return err
	}
	defer stop()
	return followError(ctx, f.Run(ctx))
}

// followError maps what ended a follower to its exit code.
func followError(ctx context.Context, err error) error {
	switch {
	case err == nil && !terminated(ctx):
		return exitWith(exitInterrupted, nil)
	case errors.Is(err, backup.ErrLocked):
		return withHint(exitWith(exitRefused, err), "a gateway is followed once; a lock does not outlive its process")
	case errors.Is(err, backup.ErrSplitBrain):
		return splitBrain(err)
	case errors.Is(err, backup.ErrUncommitted):
		return withHint(exitWith(exitMissed, err), "it goes out with the next 'gwdr backup' or 'gwdr backup follow' that uses this spool")
	case errors.Is(err, backup.ErrUnfenced):
		return withHint(exitWith(exitRefused, err), "add a location whose puts are create-only, or take backups by 'gwdr backup' from a timer")
	case errors.Is(err, backup.ErrUntracked):
		return withHint(err, "take backups by 'gwdr backup' from a timer")
	}
	return err
}

// terminated reports whether SIGTERM ended the context: the orderly end of a daemon, which is no interruption.
func terminated(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return cause != nil && strings.HasPrefix(cause.Error(), syscall.SIGTERM.String())
}
