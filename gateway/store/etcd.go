package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"gwdr/gateway"
)

// Limits of the engine. A specification can be tens of megabytes, and goes in a request of its own; etcd's own default is 1.5 MB.
const (
	maxRequestBytes = gateway.MaxBody + 16<<20
	maxTxnOps       = SwitchOps + 16 // Apply adds a few of its own
	defaultQuota    = 4 << 30
	tickMs          = 20                     // each tick wakes the process, also when nothing happens
	electionMs      = 100                    // a single member elects itself when it starts: this is most of the time it takes
	commitInterval  = 500 * time.Millisecond // of the database behind the log, which alone makes a write durable
)

// startEtcd starts an embedded etcd. It listens to no client: its client is called in process.
func startEtcd(c *embed.Config) (e *embed.Etcd, err error) {
	dir := c.Dir
	defer func() { // etcd panics over files that it cannot read
		if cause := recover(); cause != nil {
			e, err = nil, fmt.Errorf("start etcd in %s: %v", dir, cause)
		}
	}()
	if err := checkDatabase(filepath.Join(dir, "member", "snap", "db")); err != nil {
		return nil, err
	}
	if e, err = embed.StartEtcd(c); err != nil {
		return nil, fmt.Errorf("start etcd in %s: %w", dir, err)
	}
	return e, nil
}

// awaitEtcd waits until the embedded etcd takes requests. A member of a cluster that knows the store does so for a quorum only for a
// while.
func (s *Store) awaitEtcd(ctx context.Context, clustered bool) error {
	dir := s.etcd.Config().Dir
	var enough <-chan time.Time
	if id, _, err := s.readIdentity(); clustered && err == nil && id != "" {
		enough = time.After(answerWithin)
	} else if clustered {
		late := time.AfterFunc(time.Second, func() { s.log.Warn("the store waits until most members of the cluster are there", "dir", dir) })
		defer late.Stop()
	}
	select {
	case <-enough:
		return nil
	case <-s.etcd.Server.ReadyNotify():
		return nil
	case <-s.etcd.Server.StopNotify():
		if clustered {
			return fmt.Errorf("etcd in %s stopped while it started: %w", dir, ErrMemberRemoved)
		}
		return fmt.Errorf("etcd in %s stopped while it started", dir)
	case <-ctx.Done():
		return fmt.Errorf("wait for etcd in %s: %w", dir, ctx.Err())
	}
}

// checkDatabase opens the database for reading, as etcd would panic over a damaged one in a goroutine of its own. Damage
// deeper than the first pages is not found.
func checkDatabase(file string) error {
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return fmt.Errorf("open database %s: %w", file, err)
	}
	return db.Close()
}

// engineQuota is larger than the store's own, as it counts what is free in the file, too, and refuses deletes and changes of the role.
func engineQuota(quota int64) int64 { return 2 * quota }

func etcdConfig(dir string, quota int64, log *slog.Logger) *embed.Config {
	c := embed.NewConfig()
	c.Name = "gwdr"
	c.Dir = dir
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.TickMs, c.ElectionMs = tickMs, electionMs
	c.MaxRequestBytes, c.MaxTxnOps, c.QuotaBackendBytes = maxRequestBytes, maxTxnOps, engineQuota(quota)
	c.BackendBatchInterval = commitInterval
	c.SnapshotCount, c.SnapshotCatchUpEntries = 100, 10 // nobody catches up with a single member: its log need not stay in memory
	c.MaxSnapFiles, c.MaxWalFiles = 2, 2
	c.AutoCompactionMode, c.AutoCompactionRetention = embed.CompactorModePeriodic, history
	c.WarningApplyDuration, c.WarningUnaryRequestDuration = time.Minute, time.Minute
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.New(zapBridge{log}, zap.WithFatalHook(zapcore.WriteThenPanic)))
	return c
}

// zapBridge passes etcd's errors to slog and drops the rest, which etcd has plenty of.
type zapBridge struct{ log *slog.Logger }

func (b zapBridge) Enabled(level zapcore.Level) bool { return level >= zapcore.ErrorLevel }

func (b zapBridge) With([]zapcore.Field) zapcore.Core { return b }

func (b zapBridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

func (b zapBridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	if e.Message == "failed to update storage version" { // said once by every new store; the next commit writes it
		return nil
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		f.AddTo(enc)
	}
	if strings.HasSuffix(fmt.Sprint(enc.Fields["error"]), net.ErrClosed.Error()) { // so a member ends to listen when it is stopped
		return nil
	}
	b.log.Error("etcd: "+e.Message, "fields", enc.Fields)
	return nil
}

func (b zapBridge) Sync() error { return nil }
