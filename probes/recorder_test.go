package probes

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func recorded(t *testing.T, n, flushAt int) (path string, want []Sample) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "samples.jsonl.zst")
	r, err := CreateRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		s := Sample{Series: "orders", Seq: int64(i), Due: time.Duration(i) * tick, Class: FailStatus, Status: 503, Error: "status is 503"}
		want = append(want, s)
		if err := r.Append(s); err != nil {
			t.Fatal(err)
		}
		if i%flushAt == 0 {
			if err := r.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return path, want
}

func readFile(t *testing.T, path string) ([]byte, []Sample, error) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	samples, err := ReadSamples(bytes.NewReader(raw))
	return raw, samples, err
}

func TestRecordedSamplesAreReadBack(t *testing.T) {
	path, want := recorded(t, 5000, 700)
	_, got, err := readFile(t, path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnEmptyRecordIsWhole(t *testing.T) {
	path, _ := recorded(t, 0, 1)
	if raw, got, err := readFile(t, path); err != nil || len(got) != 0 || len(raw) != 0 {
		t.Errorf("%d samples in %d bytes, %v", len(got), len(raw), err)
	}
}

func TestATornTailCostsTheLastFrameOnly(t *testing.T) {
	path, want := recorded(t, 30, 10)
	raw, _, err := readFile(t, path)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[int]int{0: 0, len(raw): 30} // length of the file -> samples in whole frames
	for size, whole := 0, 0; size < len(raw); size++ {
		got, err := ReadSamples(bytes.NewReader(raw[:size]))
		if err == nil {
			if len(got) < whole {
				t.Fatalf("%d bytes: %d samples, want at least %d", size, len(got), whole)
			}
			whole = len(got)
			ends[size] = whole
			continue
		}
		if !errors.Is(err, ErrTorn) {
			t.Fatalf("%d bytes: %v, want ErrTorn", size, err)
		}
		if len(got) < whole || !slices.Equal(want[:len(got)], got) {
			t.Fatalf("%d bytes: %d samples, want the first %d at least", size, len(got), whole)
		}
	}
	if len(ends) != 5 {
		t.Errorf("whole files at %v, want after each of 4 frames", ends)
	}
}

func TestNoDamageChangesWhatIsRead(t *testing.T) {
	path, want := recorded(t, 300, 100)
	raw, _, _ := readFile(t, path)
	for i := range raw {
		forged := bytes.Clone(raw)
		forged[i] ^= 0x10
		got, err := ReadSamples(bytes.NewReader(forged))
		if err == nil && !slices.Equal(want, got) {
			t.Fatalf("byte %d was changed, and %d samples were read without an error", i, len(got))
		}
	}
}

// TestAFewBytesTakeLittleMemory, whatever they unpack to: the record may be a stranger's.
func TestAFewBytesTakeLittleMemory(t *testing.T) {
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	for name, lines := range map[string][]byte{
		"many lines": bytes.Repeat([]byte("{}\n"), 4<<20),
		"long lines": bytes.Repeat([]byte(`{"error":"`+strings.Repeat("x", 1<<19)+"\"}\n"), 1<<8),
	} {
		bomb := encoder.EncodeAll(lines, nil)
		got, err := ReadSamples(bytes.NewReader(bomb))
		if err == nil || !strings.Contains(err.Error(), "64 MiB and 64 times the size of the file") {
			t.Errorf("%s: %d bytes: %v", name, len(bomb), err)
		}
		if most := (denseFree + denseTimes*len(bomb)) / lineRoom; len(got) > most || cap(got) > most+1 {
			t.Errorf("%s: %d bytes made room for %d samples", name, len(bomb), cap(got))
		}
	}
}

func TestRecorderFlushesEverySecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl.zst")
	r, err := CreateRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Append(Sample{Series: "orders"}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(ms) {
		if _, got, err := readFile(t, path); err == nil && len(got) == 1 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("a sample is not on disk after 10 s")
		}
	}
}

func TestRecordIsReadableAfterKill9(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl.zst")
	c, lines := child(t, "record "+path)
	var safe int
	for lines.Scan() {
		safe, _ = strconv.Atoi(lines.Text())
		if safe == 70 {
			c.Process.Kill()
		}
	}
	c.Wait()
	_, got, err := readFile(t, path)
	if err != nil && !errors.Is(err, ErrTorn) {
		t.Fatal(err)
	}
	if len(got) < safe || safe < 70 {
		t.Errorf("%d samples, want at least %d", len(got), safe)
	}
}

func TestRecorderSaysWhenItCannotWrite(t *testing.T) {
	path, _ := recorded(t, 1, 1)
	if _, err := CreateRecorder(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("err = %v, want fs.ErrExist", err)
	}
	r, err := CreateRecorder(path + "2")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Append(Sample{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("append after close = %v, want os.ErrClosed", err)
	}
	if err := r.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("second close = %v, want os.ErrClosed", err)
	}
}

// TestRecorderHoldsBackWhoIsQuickerThanTheDisk keeps the file from being written, and wants those who append to wait once there is
// too much, and what they said to be read back.
func TestRecorderHoldsBackWhoIsQuickerThanTheDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl.zst")
	r, err := CreateRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	r.writing.Lock() // as while a write lasts
	long, n := strings.Repeat("x", 1<<10), 0
	for pending := 0; pending < maxPending-4<<10; n++ { // none of these may wait
		if err := r.Append(Sample{Series: "orders", Seq: int64(n), Error: long}); err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		pending = len(r.lines)
		r.mu.Unlock()
	}
	appended := make(chan error)
	go func() {
		for i := range 10 {
			if err := r.Append(Sample{Series: "orders", Seq: int64(n + i), Error: long}); err != nil {
				appended <- err
			}
		}
		close(appended)
	}()
	for waits := false; !waits; runtime.Gosched() {
		r.mu.Lock()
		waits = len(r.lines) >= maxPending
		r.mu.Unlock()
	}
	r.writing.Unlock()
	if err := <-appended; err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, got, err := readFile(t, path); err != nil || len(got) != n+10 || got[n+9].Seq != int64(n+9) {
		t.Errorf("%d samples, %v; want %d", len(got), err, n+10)
	}
}

func FuzzReadSamples(f *testing.F) {
	path := filepath.Join(f.TempDir(), "r")
	r, err := CreateRecorder(path)
	if err != nil {
		f.Fatal(err)
	}
	r.Append(Sample{Series: "orders", Class: OK})
	r.Sync()
	r.Append(Sample{Series: "orders", Seq: 1, Class: FailReset})
	r.Close()
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(raw[:len(raw)-4])
	f.Add([]byte("(\xb5/\xfd"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		samples, err := ReadSamples(bytes.NewReader(raw))
		if len(samples) > 1<<22 {
			t.Fatalf("%d samples from %d bytes, %v", len(samples), len(raw), err)
		}
		EstimateOutage(orders, samples, Window{Inject: time.Second, Stable: time.Second})
	})
}
