package backup_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

const followVariable = "GWDR_TEST_FOLLOW_GATEWAY"

// followInChild follows the gateway at the URL until it is killed, and says what is committed.
func followInChild(root, url string) error {
	files, err := backup.FindKeys(filepath.Join(root, "keys"))
	if err != nil {
		return err
	}
	keys, err := backup.ReadKeys(files)
	if err != nil {
		return err
	}
	f := &backup.Follower{PointEvery: 300 * time.Millisecond, Heartbeat: 100 * time.Millisecond, Job: backup.Job{
		Source: &native.Client{URL: url}, Gateway: "test", Copies: crashCopies(root), Keys: keys, Spool: filepath.Join(root, "spool")}}
	go func() {
		for range time.Tick(2 * time.Millisecond) {
			if at := f.Status().Committed.Revision; at > 0 {
				fmt.Println(at)
			}
		}
	}()
	return f.Run(context.Background())
}

// TestFollowKill kills a follower at 60 moments while the gateway changes. What it said was committed survives any location,
// the log is one chain, the same everywhere, and in the end it leads to what the gateway holds.
func TestFollowKill(t *testing.T) {
	w := newKillWorld(t)
	const kills = 60
	for range kills {
		committed := w.follow(time.Duration(rand.IntN(500)) * time.Millisecond)
		w.checkLog(committed)
	}
	w.stop()
	w.follow(time.Second)
	e, err := w.client().Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state, tail := restored(t, w.copies, w.keys)
	if diff := gateway.Diff(state, e.State); len(diff) > 0 {
		t.Errorf("the log leads to revision %d, not to %d: %v; %s", tail.Revision, e.Revision, refs(diff), tail.Stop)
	}
	found, problems := backup.Find(t.Context(), w.copies, w.keys.Trusted)
	for _, f := range found {
		if _, _, err := backup.Load(t.Context(), f, w.copies, w.keys.Identities); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d changes, %d points, log of %d segments, problems %v", w.changes.Load(), len(found), w.segments, problems)
}

// killWorld is a real gateway that changes all the time, and three directories.
type killWorld struct {
	t        *testing.T
	root     string
	url      string
	copies   []backup.Copy
	keys     backup.Keys
	changes  atomic.Int64
	segments int64
	stop     func()
}

func newKillWorld(t *testing.T) *killWorld {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer((&admin.Server{Store: s}).Handler())
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &killWorld{t: t, root: t.TempDir(), url: server.URL}
	if _, err := backup.GenerateKeys(filepath.Join(w.root, "keys")); err != nil {
		t.Fatal(err)
	}
	w.keys, w.copies = crashKeys(t, w.root), crashCopies(w.root)
	for _, c := range w.copies {
		if err := c.Location.(*dir.Location).Init(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.change(ctx) })
	w.stop = func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(w.stop)
	return w
}

func (w *killWorld) client() *native.Client { return &native.Client{URL: w.url} }

// change changes the gateway until the context ends, about 200 times a second.
func (w *killWorld) change(ctx context.Context) {
	c := w.client()
	for range time.Tick(5 * time.Millisecond) {
		if ctx.Err() != nil {
			return
		}
		e := backuptest.Entity(gateway.Setting, fmt.Sprint("s", rand.IntN(100)), fmt.Sprintf(`{"n":%d}`, w.changes.Add(1)))
		var err error
		if rand.IntN(4) > 0 {
			_, err = c.Put(context.WithoutCancel(ctx), e, gateway.Condition{})
		} else if _, err = c.Delete(context.WithoutCancel(ctx), e.Ref, gateway.Condition{}); errors.Is(err, gateway.ErrNotFound) {
			err = nil
		}
		if err != nil {
			w.t.Errorf("change the gateway: %v", err)
			return
		}
	}
}

// follow runs a follower for a while, kills it, and returns the newest revision that it said was committed.
func (w *killWorld) follow(until time.Duration) (committed int64) {
	w.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), crashDirVariable+"="+w.root, followVariable+"="+w.url)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	time.AfterFunc(until, func() { cmd.Process.Kill() })
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var at int64
		if _, err := fmt.Sscan(lines.Text(), &at); err == nil { // the last line may be cut
			committed = at
		}
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		w.t.Fatalf("the follower ended by itself: %v", err)
	}
	return committed
}

// checkLog reads the log that each location has, and compares.
func (w *killWorld) checkLog(committed int64) {
	w.t.Helper()
	bytes := map[int64]string{}
	for _, c := range w.copies {
		objects, err := c.Location.List(w.t.Context(), "gwdr1/")
		if err != nil {
			w.t.Fatal(err)
		}
		var numbers []int64
		for _, o := range objects {
			var seq int64
			if i := strings.Index(o.Name, "/log/"); i < 0 {
				continue
			} else if _, err := fmt.Sscanf(o.Name[i:], "/log/%x.tar", &seq); err != nil {
				w.t.Fatalf("%s: %v", o.Name, err)
			}
			numbers = append(numbers, seq)
			content := read(w.t, c.Location, o.Name)
			if other, ok := bytes[seq]; ok && other != content {
				w.t.Errorf("segment %d differs", seq)
			}
			bytes[seq] = content
		}
		slices.Sort(numbers)
		for i, seq := range numbers {
			if seq != int64(i+1) {
				w.t.Fatalf("%s has the segments %v", c.Name, numbers)
			}
		}
		w.segments = max(w.segments, int64(len(numbers)))
	}
	for i := range w.copies { // any one may be lost
		if committed == 0 {
			break
		}
		rest := slices.Delete(slices.Clone(w.copies), i, i+1)
		found, _ := backup.Find(w.t.Context(), rest, w.keys.Trusted)
		if len(found) == 0 {
			continue // the log is ahead of the first point
		}
		tail, err := backup.ReadTail(w.t.Context(), found[0], rest, w.keys.Trusted, backup.TailBound{})
		if err != nil || tail.Stop != "" || tail.Revision < committed {
			w.t.Errorf("without %s: the log leads to %+v, %v; committed was %d", w.copies[i].Name, tail, err, committed)
		}
	}
}

func read(t *testing.T, l backup.Location, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(l.(*dir.Location).Dir, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
