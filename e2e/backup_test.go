package e2e

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
)

// house is a gateway with two directories and a locked bucket, which can be cut off.
type house struct {
	job    backup.Job
	source *backuptest.Source
	keys   backup.KeyFiles
	bucket string
	cut    atomic.Bool
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{bucket: shared.bucket(t, true)}
	var err error
	if h.keys, err = backup.GenerateKeys(filepath.Join(t.TempDir(), "keys")); err != nil {
		t.Fatal(err)
	}
	keys, err := backup.ReadKeys(h.keys)
	if err != nil {
		t.Fatal(err)
	}
	copies, _ := backuptest.Copies()
	for i := range copies[:2] {
		l := &dir.Location{Dir: filepath.Join(t.TempDir(), copies[i].Name)}
		if err := l.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		copies[i].Location = l
	}
	copies[2].Location = shared.openWith(t, h.bucket, "compliance/1h", func(ctx context.Context, network, address string) (net.Conn, error) {
		if h.cut.Load() {
			return nil, errors.New("connection refused")
		}
		conn, err := shared.dial(ctx, network, address)
		return &cuttable{conn, &h.cut}, err
	})
	policy := backuptest.Policy()
	policy.Copies, policy.Immutable = 2, 1 // the two directories are on one device
	h.source = backuptest.NewSource("store", someEntities()...)
	h.job = backup.Job{
		Source: h.source, Gateway: "test", Copies: copies, Keys: keys, Policy: policy,
		Spool: t.TempDir(), Tool: "gwdr test",
	}
	return h
}

// cuttable is a connection that is dead once cut is set.
type cuttable struct {
	net.Conn
	cut *atomic.Bool
}

func (c *cuttable) Write(p []byte) (int, error) {
	if c.cut.Load() {
		c.Conn.Close()
	}
	return c.Conn.Write(p)
}

func someEntities() []gateway.Entity {
	return []gateway.Entity{
		backuptest.Entity(gateway.Route, "orders", `{"path":"/orders/{id}"}`),
		backuptest.Entity(gateway.Route, "a/b", `{"path":"/a"}`),
		backuptest.Entity(gateway.Spec, "petstore", "openapi: 3.1.0\n"),
		backuptest.Entity(gateway.Key, "k1", `{"hash":"00"}`),
	}
}

func (h *house) take(t *testing.T) *backup.Result {
	t.Helper()
	result, err := backup.Take(t.Context(), h.job)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestBackupToS3(t *testing.T) {
	h := newHouse(t)
	result := h.take(t)
	if !result.Complete() || !result.Locations[2].Immutable || result.Policy.Immutable != 1 || result.Policy.Copies != 2 {
		t.Errorf("result: %+v", result)
	}
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true})
	if err != nil || !v.Sound() || v.Decrypted != 1 {
		t.Errorf("Verify = %+v, %v", v, err)
	}
}

// TestDeadEndpoint: a dead S3 server costs its copy and little time; it catches up later.
func TestDeadEndpoint(t *testing.T) {
	h := newHouse(t)
	h.take(t)
	h.cut.Store(true)
	started := time.Now()
	result := h.take(t)
	if took := time.Since(started); took > 30*time.Second {
		t.Errorf("backup took %s", took)
	}
	if result.Complete() || result.Stored() != 2 || result.Locations[2].OK || !strings.Contains(result.Locations[2].Error, "connection refused") {
		t.Errorf("result: %+v", result)
	}
	h.cut.Store(false)
	result = h.take(t)
	if !result.Complete() || result.Locations[2].CaughtUp != 1 {
		t.Errorf("result after the repair: %+v", result)
	}
}

// TestFlippedByte: bit rot behind the server is found, and the other copies heal the read.
func TestFlippedByte(t *testing.T) {
	h := newHouse(t)
	h.take(t)
	flip(t, filepath.Join(shared.data, h.bucket), "packs")
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{})
	if err != nil || v.Sound() || !v.Restorable() || len(v.Locations[2].Problems) != 1 || !errors.Is(v.Locations[2].Problems[0].Err, backup.ErrIntegrity) {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	found, _ := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	s3First := []backup.Copy{h.job.Copies[2], h.job.Copies[0]}
	found[0].Copies = []string{h.job.Copies[2].Name}
	state, from, err := backup.Load(t.Context(), found[0], s3First, h.job.Keys.Identities)
	if err != nil || from.ByCopy()["local"] != len(someEntities()) {
		t.Errorf("Load = %v, %v, %v; want all from local", state, from, err)
	}
	if _, _, err := backup.Load(t.Context(), found[0], s3First[:1], h.job.Keys.Identities); !errors.Is(err, backup.ErrIntegrity) {
		t.Errorf("Load of the damaged copy alone = %v, want ErrIntegrity", err)
	}
}

// flip flips a bit of every file below root whose path holds part.
func flip(t *testing.T, root, part string) {
	t.Helper()
	n := 0
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.Contains(path, part) {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content = bytes.Clone(content)
		content[min(600, len(content)/2)] ^= 1 // of a small tar: in its first member
		n++
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(content, 0)
		return errors.Join(err, f.Close())
	})
	if err != nil || n == 0 {
		t.Fatalf("flip: %d files, %v", n, err)
	}
}
