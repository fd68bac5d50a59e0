package calibration

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// document is a calibration without any measurement.
func document(host string, started time.Time) Document {
	d := Judge(Record{Plan: Plan{Rounds: 1, Interval: 20 * ms}, Started: started})
	d.Host.Name = host
	return d
}

// TestPrepareTriesToWrite leaves nothing where it can write, and says so where it cannot.
func TestPrepareTriesToWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "calibrations")
	if err := Prepare(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(filepath.Join(file, "calibrations")); err == nil {
		t.Error("a directory in a file is said to be fine")
	}
}

func TestNewestIsOfThisHost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "calibrations")
	if got, err := Newest(dir, "here"); got != nil || err != nil {
		t.Fatalf("before any: %s, %v", got, err)
	}
	day := time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)
	var paths []string
	for i, host := range []string{"here", "here", "there"} {
		path, err := Save(dir, document(host, day.Add(time.Duration(i)*time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	want, err := os.ReadFile(paths[1])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Newest(dir, "here"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s, %v; want that of 5 o'clock", got, err)
	}
	if got, err := Newest(dir, "nowhere"); got != nil || err != nil {
		t.Errorf("%s, %v; want none", got, err)
	}
	if err := os.WriteFile(paths[2], []byte(`{"schema": "gwdr/calibration/v1", "verdict": "pass"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Newest(dir, "here"); got != nil || !errors.Is(err, ErrInvalid) {
		t.Errorf("%s, %v; want that the newest file is no calibration", got, err)
	}
}

// FuzzParse shows that whatever is read either is refused or stands for itself.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"schema":"gwdr/calibration/v1","verdict":"inconclusive","reason":"nothing was measured","rows":[],"trials":[]}`))
	f.Add([]byte(`{"schema":"gwdr/calibration/v1","verdict":"fail","trials":[{"kind":"hold","verdict":"fail"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v", err)
			}
			return
		}
		if d.Verdict != Pass && d.Verdict != Fail && d.Verdict != Inconclusive {
			t.Errorf("verdict %q", d.Verdict)
		}
		_ = d.Statement()
	})
}
