package vantage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gwdr/probes"
)

// The bounds of a sample that an agent tells.
const (
	maxInstant = 366 * 24 * time.Hour
	maxText    = 16 << 10
)

// decodeBatch reads a line of the stream and holds it to what an agent may say: samples of the series that were planned,
// with instants of a session. A field that is not known here may be of weight, and is an error.
func decodeBatch(line []byte, series map[string]bool) (Batch, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var b Batch
	if err := d.Decode(&b); err != nil {
		return b, fmt.Errorf("read samples: %w", err)
	}
	switch {
	case d.More():
		return b, errors.New("read samples: more than one document in a line")
	case b.First < 0 || !instant(b.Now) || len(b.Samples) > maxBatch || !b.End.known():
		return b, errors.New("read samples: not a batch of the protocol")
	}
	for i := range b.Samples {
		if err := checkSample(&b.Samples[i], series); err != nil {
			return b, fmt.Errorf("read samples: %w", err)
		}
	}
	return b, nil
}

func checkSample(s *probes.Sample, series map[string]bool) error {
	switch {
	case !series[s.Series]:
		return errors.New("a sample of a series that was not planned")
	case !class(s.Class):
		return fmt.Errorf("a sample of series %q is of an unknown class", s.Series)
	case s.Seq < 0 || !instant(s.Due) || !instant(s.Sent) || !instant(s.Done) || s.Sent < s.Due-time.Second || s.Done < s.Sent:
		return fmt.Errorf("a sample of series %q has impossible instants", s.Series)
	case len(s.Error) > maxText || len(s.Instance) > maxText || len(s.Region) > maxText:
		return fmt.Errorf("a sample of series %q has a text that is too long", s.Series)
	}
	return nil
}

func instant(d time.Duration) bool { return d >= 0 && d <= maxInstant }

// class reports whether c is of the form of what a prober gives. Slow is none: only an estimator decides it.
func class(c probes.Class) bool {
	kind, fails := strings.CutPrefix(string(c), "fail:")
	return c == probes.OK || c == probes.Unknown || fails && kind != "" && len(kind) < 32
}
