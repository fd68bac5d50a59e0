package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// BenchmarkFollow measures how long it takes from the answer to a change, given by a real gwdr serve over HTTP, until most
// locations have it durably: the recovery point that a disaster finds. One change at a time, and eight clients at once.
//
//	go -C e2e test -run '^$' -bench Follow -benchtime 2000x .
func BenchmarkFollow(b *testing.B) {
	admin := serve(b)
	for name, places := range map[string]string{"dir+dir+s3": "dds", "s3+s3+s3": "sss"} {
		for _, clients := range []int{1, 8} {
			b.Run(fmt.Sprintf("%s/%d clients", name, clients), func(b *testing.B) { benchmarkFollow(b, admin, places, clients) })
		}
	}
}

func benchmarkFollow(b *testing.B, admin, places string, clients int) {
	f := &backup.Follower{Job: backup.Job{Source: &native.Client{URL: admin}, Gateway: "test", Copies: followCopies(b, places),
		Keys: backuptest.NewKeys(b), Spool: b.TempDir()}}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	watch := newCommitWatch(ctx, f)
	watch.wait(1)
	jobs := make(chan int)
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			client := native.Client{URL: admin}
			for i := range jobs {
				e := backuptest.Entity(gateway.Setting, fmt.Sprint("s", i%500), fmt.Sprintf(`{"n":%d}`, i))
				revision, err := client.Put(b.Context(), e, gateway.Condition{})
				if err != nil {
					b.Error(err)
					continue
				}
				acknowledged := time.Now()
				took := watch.wait(revision).Sub(acknowledged)
				mu.Lock()
				all = append(all, max(took, 0))
				mu.Unlock()
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		jobs <- i
	}
	close(jobs)
	wg.Wait()
	b.StopTimer()
	slices.Sort(all)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(all[(len(all)-1)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
	b.ReportMetric(float64(f.Status().Log.Seq)/float64(b.N), "segments/op")
	b.ReportMetric(0, "ns/op")
	cancel()
	if err := <-done; err != nil {
		b.Error(err)
	}
}

// commitWatch knows when a revision was committed, to the millisecond.
type commitWatch struct {
	mu        sync.Mutex
	committed int64
	moved     chan struct{}
}

func newCommitWatch(ctx context.Context, f *backup.Follower) *commitWatch {
	w := &commitWatch{moved: make(chan struct{})}
	go func() {
		for ctx.Err() == nil {
			if at := f.Status().Committed.Revision; at > w.committed {
				w.mu.Lock()
				w.committed = at
				close(w.moved)
				w.moved = make(chan struct{})
				w.mu.Unlock()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return w
}

// wait returns when the revision is committed.
func (w *commitWatch) wait(revision int64) time.Time {
	for {
		w.mu.Lock()
		there, moved := w.committed >= revision, w.moved
		w.mu.Unlock()
		if there {
			return time.Now()
		}
		<-moved
	}
}

// followCopies returns a location for each letter: a directory, or a bucket.
func followCopies(t testing.TB, places string) []backup.Copy {
	copies, _ := backuptest.Copies()
	for i := range copies {
		if places[i] == 's' {
			copies[i].Location = shared.openWith(t, shared.bucket(t, false), "", shared.dial)
			continue
		}
		l := &dir.Location{Dir: filepath.Join(t.TempDir(), copies[i].Name)}
		if err := l.Init(t.Context()); err != nil {
			t.Fatal(err)
		}
		copies[i].Location = l
	}
	return copies
}

// serve runs a real gwdr serve until the test ends, and returns its admin API's URL.
func serve(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	binary, ready := filepath.Join(folder, "gwdr"), filepath.Join(folder, "ready.json")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	build.Dir = repository()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gwdr: %v\n%s", err, out)
	}
	cmd := exec.Command(binary, "serve", "--data", filepath.Join(folder, "data"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--ready-file", ready, "--exit-on-stdin-eof")
	cmd.Env = []string{"HOME=" + folder}
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("gwdr serve: %v", err)
		}
	})
	var at struct{ Admin string }
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if content, err := os.ReadFile(ready); err == nil && json.Unmarshal(content, &at) == nil {
			return "http://" + at.Admin
		}
		if time.Now().After(deadline) {
			t.Fatal("gwdr serve is not ready")
		}
	}
}
