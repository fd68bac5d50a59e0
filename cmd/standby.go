package cmd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/store"
	"gwdr/restore"
)

// standby is an instance that serves from a backup until it is promoted.
type standby struct {
	*instance
	trail  *restore.Trail
	api    *standbyAPI
	failed chan error // a store that stopped by itself

	mu        sync.Mutex // held during a promotion; guards what follows
	following func()     // ends the trail's run, and waits for it
	running   sync.WaitGroup
	filled    *store.Store // that it was promoted to
	done      *admin.Promotion

	promoted  atomic.Bool
	promotion atomic.Pointer[string] // for the status; nil: none was asked for
}

var _ admin.Standby = (*standby)(nil)

// loadingGC is Go's GOGC while the backup is loaded.
const loadingGC = 200

// openStandby loads the newest state that the backups give; from the start of the process to here is what clients wait for.
func (in *instance) openStandby(ctx context.Context) (err error) {
	o := in.options
	if in.Env("GOGC") == "" { // most of what is read stays: collecting garbage meanwhile costs time, and gains little
		defer debug.SetGCPercent(debug.SetGCPercent(loadingGC))
	}
	source, err := in.backupSource(ctx, o.backup)
	if err != nil {
		return err
	}
	if err = in.openProxy(); err != nil {
		return err
	}
	if _, err := os.Stat(in.lastGood()); err == nil {
		source.Witnesses = append(source.Witnesses, restore.LastGood(in.lastGood()))
	}
	b := &standby{instance: in, failed: make(chan error, 1)}
	b.trail = &restore.Trail{Source: source, Every: o.backup.poll, Take: b.take}
	in.standby = b
	err = b.start(ctx)
	if err == nil {
		b.measure()
	}
	return err
}

func (in *instance) lastGood() string { return filepath.Join(in.options.data, "last-good.ndjson") }

// start serves the newest state that can be served.
func (b *standby) start(ctx context.Context) error {
	err := b.trail.Start(ctx)
	b.noteFindings(b.trail.Progress().Findings)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return err
	case b.trail.Snapshot() != nil && b.options.backup.at == "":
		if err = b.serveOlder(ctx, err); err != nil {
			return err
		}
	default:
		return b.serveLastGood(err)
	}
	p := b.trail.Progress()
	b.progress("serving from a backup: point %s, as of %s (%s ago), from %s", p.Point, p.Time.Format(time.RFC3339),
		since(p.Time).Round(time.Second), b.counted())
	b.progress("it takes no changes until it is promoted: POST /v1/promote")
	return nil
}

// counted says in words what is served.
func (b *standby) counted() string {
	n := b.trail.Snapshot().State.Counts()
	return fmt.Sprintf("%s: %s, %s", joined(b.trail.Progress().Provenance), count(n[gateway.Route], "route"), count(n[gateway.Key], "key"))
}

// serveLastGood serves what the data directory has when no backup can be read: it is looked for further.
func (b *standby) serveLastGood(cause error) error {
	if b.options.backup.at != "" || b.proxy.LoadLastGood() != nil {
		return backupHint(cause)
	}
	b.trail.Floor, _ = b.proxy.State()
	b.Log.Error("no backup can be served: the last good configuration of this directory is, and backups are looked for", "error", cause)
	return nil
}

// olderPoints bounds how many points are tried when the newest state cannot be served.
const olderPoints = 8

// serveOlder finds an older point that can be served: what the gateway served when its configuration was bad, too. The newest
// state is kept, to be served as soon as a change heals it.
func (b *standby) serveOlder(ctx context.Context, cause error) error {
	newest := b.trail.Snapshot()
	source := b.trail.Source
	source.Witnesses, source.At = nil, restore.At{Point: newest.Point.Name}
	for range olderPoints {
		s, err := source.Read(ctx)
		if err != nil {
			break
		}
		for e := range newest.State.Kind(gateway.Revocation) {
			s.State.Put(e)
		}
		if b.proxy.Load(headerOf(s.Point.Store, s.Revision, s.Time), s.State) == nil {
			b.Log.Error("the newest state of the backups cannot be served, an older point is", "point", s.Point.Name, "of", s.Time, "error", cause)
			_ = b.proxy.Load(headerOf(newest.Point.Store, newest.Revision, newest.Time), newest.State) // fails as before, and is kept
			return nil
		}
		source.At = restore.At{Time: s.Point.Time.Add(-1)}
	}
	return fmt.Errorf("no point of the backups can be served: %w", cause)
}

func headerOf(store string, revision int64, at time.Time) gateway.Header {
	return gateway.Header{Store: store, Revision: revision, Time: at}
}

// take serves a state of the trail.
func (b *standby) take(r restore.Reached) error {
	if r.Changes == nil {
		return b.proxy.Load(headerOf(r.Point.Store, r.Revision, r.Time), r.State)
	}
	b.Log.Info("newer backup is served", "revision", r.Revision, "as_of", r.Time, "changes", len(r.Changes))
	return b.proxy.Update(gateway.Batch{Revision: r.Revision, Changes: r.Changes})
}

// run follows the backups until the instance stops, or is promoted.
func (b *standby) run() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.follow(b.background)
}

// follow has the trail run. b.mu is held.
func (b *standby) follow(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.trail.Run(ctx)
	}()
	b.following = func() {
		cancel()
		<-ended
	}
}

// end waits for what runs, which ends with the instance's background: a promotion under way gives up, or is done.
func (b *standby) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.following != nil {
		b.following()
	}
	b.running.Wait()
	if b.filled == nil {
		return nil
	}
	return b.filled.Close()
}

// Backup returns what is served.
func (b *standby) Backup() gateway.Backup {
	p := b.trail.Progress()
	out := gateway.Backup{Lineage: p.Lineage, Point: p.Point, Revision: p.Revision, Time: p.Time, AgeS: since(p.Time).Seconds(),
		Provenance: p.Provenance, Looked: p.Looked, Findings: []string{}}
	for _, f := range p.Findings {
		out.Findings = append(out.Findings, f.Subject+": "+f.Text)
	}
	if text := b.promotion.Load(); text != nil {
		out.Promotion = *text
	}
	return out
}

// since is how long ago that was; nothing if it never was.
func since(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(0, time.Since(t))
}
