package cmd

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/backup"
	"gwdr/gateway/admin"
	"gwdr/gateway/store"
	"gwdr/restore"
)

// openFromBackup makes the instance serve from a backup, unless it did before, and was promoted: then it is an ordinary one.
func (in *instance) openFromBackup(ctx context.Context) (ordinary bool, err error) {
	o := in.options
	if in.lock, err = store.Lock(o.data); err != nil {
		return false, inUse(err)
	}
	if o.controls() {
		if ordinary, err = in.examine(o.data); err != nil {
			return false, err
		}
	}
	if !ordinary {
		return false, in.openStandby(ctx)
	}
	m, err := readMark(o.data)
	if err != nil {
		return false, err
	}
	in.progress("%s holds the store that was promoted from backup %s: that is served, and no backup", o.data, m.Parent)
	if !m.Noted {
		in.noteParent(ctx, *m)
	}
	lock := in.lock
	in.lock = nil // the store takes it
	return true, lock.Close()
}

// standbyAPI is the admin API of an instance that serves from a backup, and of the ordinary one that it becomes.
type standbyAPI struct {
	server *admin.Server // its options; the store, or the standby, are still to come
	now    atomic.Pointer[http.Handler]
}

// ServeHTTP passes the request on.
func (s *standbyAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*s.now.Load()).ServeHTTP(w, r)
}

// become makes the API that of the store, or without one that of the standby.
func (s *standbyAPI) become(b *standby, st *store.Store) {
	server := &admin.Server{Instance: s.server.Instance, Region: s.server.Region, Role: s.server.Role, Listen: s.server.Listen, Store: st,
		Data: s.server.Data, Tokens: s.server.Tokens, Metrics: s.server.Metrics, Stopping: s.server.Stopping, Log: s.server.Log, Audit: s.server.Audit}
	if st == nil {
		server.Standby = b
	}
	handler := server.Handler()
	s.now.Store(&handler)
}

// standbyFailed returns the channel that tells of the end of the store that the standby was promoted to.
func (in *instance) standbyFailed() <-chan error {
	if in.standby == nil {
		return nil
	}
	return in.standby.failed
}

// measure adds what a standby is watched by.
func (b *standby) measure() {
	gauge := func(name, help string, value func(restore.Progress) float64) {
		b.metrics.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(b.trail.Progress()) }))
	}
	gauge("gwdr_from_backup", "Whether a backup is served: 0 once promoted.", func(restore.Progress) float64 {
		if b.promoted.Load() {
			return 0
		}
		return 1
	})
	gauge("gwdr_from_backup_recovery_point_seconds", "Time of the backup that is, or was, served.", func(p restore.Progress) float64 {
		return float64(p.Time.UnixMilli()) / 1e3
	})
	gauge("gwdr_from_backup_looked_seconds", "When the locations were last asked for newer backups.", func(p restore.Progress) float64 {
		return float64(p.Looked.UnixMilli()) / 1e3
	})
	gauge("gwdr_from_backup_findings", "What was passed over, or stands in the way, at the locations.", func(p restore.Progress) float64 {
		return float64(len(p.Findings))
	})
}

// joined lists the names.
func joined(objects map[string]int) string {
	return strings.Join(slices.Sorted(maps.Keys(objects)), ", ")
}

// backupHint adds the exit code and the next step to an error of reading the backups.
func backupHint(err error) error {
	switch {
	case errors.Is(err, backup.ErrNoIdentity):
		return keyError(err)
	case errors.Is(err, restore.ErrGap):
		return withHint(exitWith(exitRefused, err), "an earlier --at is before the gap; --allow-gap goes on behind it, without the changes that are lost")
	case errors.Is(err, restore.ErrSealed):
		return withHint(exitWith(exitIntegrity, err), identityHint)
	case errors.Is(err, restore.ErrAmbiguous):
		return withHint(usageError(err), "give more of its name: 'gwdr backup list' has all of it")
	case errors.Is(err, restore.ErrNoSuchPoint):
		return withHint(exitWith(exitIntegrity, err), "'gwdr backup list' names the points and their times")
	case errors.Is(err, restore.ErrNothing):
		return withHint(exitWith(exitIntegrity, err), "'gwdr backup verify' shows what each location still holds; docs/restore.md says what to try next")
	}
	return err
}
