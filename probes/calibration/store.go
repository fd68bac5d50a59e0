package calibration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrInvalid is wrapped by errors that say a document is no calibration, or contradicts itself.
var ErrInvalid = errors.New("not a calibration")

// Parse reads a document, which must be one as Judge makes it: with a table and a verdict that follow from its trials. The error
// wraps ErrInvalid.
func Parse(data []byte) (Document, error) {
	var d Document
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return Document{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return d, d.Check()
}

// Check computes table and verdict again from the trials, and each trial's verdict from its numbers. The error wraps
// ErrInvalid. What a guard found is taken as it is: the samples are not kept.
func (d Document) Check() error {
	if d.Schema != Schema {
		return fmt.Errorf("%w: schema %q", ErrInvalid, d.Schema)
	}
	for i, t := range d.Trials {
		if verdict, _ := t.encloses(); t.Verdict != Inconclusive && t.Verdict != verdict {
			return fmt.Errorf("%w: measurement %d is said to be %s, its numbers say %s", ErrInvalid, i+1, t.Verdict, verdict)
		}
	}
	again := d
	again.conclude()
	if again.Verdict != d.Verdict || again.Reason != d.Reason || !slices.Equal(again.Rows, d.Rows) {
		return fmt.Errorf("%w: its table does not follow from its %d measurements, which give %s", ErrInvalid, len(d.Trials), again.Verdict)
	}
	return nil
}

// suffix ends the name of a calibration's file; its time comes before it.
const suffix = ".json"

// Prepare makes the directory that Save will write to, and tries to write there.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("keep calibrations: %w", err)
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("keep calibrations: %w", err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// Save writes the document to a file of its own in dir, and returns its path.
func Save(dir string, d Document) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return "", fmt.Errorf("save calibration: %w", err)
	}
	path := filepath.Join(dir, d.Started.UTC().Format("20060102T150405.000Z")+suffix)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("save calibration: %w", err)
	}
	if err := os.WriteFile(path+".tmp", b.Bytes(), 0o600); err != nil {
		return "", fmt.Errorf("save calibration: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return "", fmt.Errorf("save calibration: %w", err)
	}
	return path, nil
}

// Newest returns the newest calibration in dir that was made on the host, as it was written; nil if there is none. A file that
// is none is an error, for it may have been the newest.
func Newest(dir, host string) ([]byte, error) {
	entries, err := os.ReadDir(dir) // by name, which is by time
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("look for calibrations: %w", err)
	}
	for _, e := range slices.Backward(entries) {
		if !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("look for calibrations: %w", err)
		}
		d, err := Parse(data)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Name(), err)
		}
		if d.Host.Name == host {
			return data, nil
		}
	}
	return nil, nil
}

// Statement says in one line what the calibration found, where and when.
func (d Document) Statement() string {
	inside, conclusive, largest := 0, 0, time.Duration(0)
	for _, r := range d.Rows {
		inside += r.Inside
		conclusive += r.Inside + r.Outside
		largest = max(largest, seconds(r.MaxS).Abs())
	}
	return fmt.Sprintf("%s: truth in the bracket in %d of %d measurements of known outages at %g/s, off by at most %s, %d inconclusive; %s, %s (%s, %d CPUs), %s",
		d.Verdict, inside, conclusive, d.RateHz, largest.Round(time.Millisecond/10), len(d.Trials)-conclusive,
		d.Started.UTC().Format("2006-01-02 15:04 UTC"), d.Host.Name, d.Host.Kernel, d.Host.CPUs, d.Tool)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
