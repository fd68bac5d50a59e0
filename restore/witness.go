package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gwdr/gateway"
)

// RevocationSource knows which keys were revoked, perhaps since the last backup: a region or a data plane that still runs, or
// what one of them left on a disk.
type RevocationSource interface {
	// Revocations returns every revocation that is known there, and the time by which all are. The error names the source.
	Revocations(ctx context.Context) (known []gateway.Entity, by time.Time, err error)
}

// lastGoodFile is where a data plane keeps its last good configuration, within its data directory.
const lastGoodFile = "last-good.ndjson"

// LastGood is the last good configuration that a data plane left: the path of the file, or of its data directory. It is a
// RevocationSource.
type LastGood string

// Revocations reads the file, or the one before it if that is damaged.
func (l LastGood) Revocations(context.Context) ([]gateway.Entity, time.Time, error) {
	file := string(l)
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, lastGoodFile)
	}
	var errs []error
	for _, name := range []string{file, file + ".previous"} {
		h, s, err := readLastGood(name)
		if err == nil {
			return slices.Collect(s.Kind(gateway.Revocation)), h.Time, nil
		}
		if len(errs) == 0 || !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return nil, time.Time{}, fmt.Errorf("read last good configuration: %w", errors.Join(errs...))
}

func readLastGood(name string) (gateway.Header, *gateway.State, error) {
	f, err := os.Open(name)
	if err != nil {
		return gateway.Header{}, nil, err
	}
	defer f.Close()
	h, s, err := gateway.ReadStream(f)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return h, s, err
}

// testimony is what the witnesses know.
type testimony struct {
	known    []gateway.Entity
	by       time.Time // the latest time by which one of them knows all
	findings []Finding // on those that did not answer: on the worst day most of them are gone
}

// askWitnesses asks them all at once.
func (r *Source) askWitnesses(ctx context.Context) testimony {
	ctx, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	all := make([]testimony, len(r.Witnesses))
	var wait sync.WaitGroup
	for i, w := range r.Witnesses {
		wait.Go(func() {
			known, by, err := w.Revocations(ctx)
			if all[i] = (testimony{known: known, by: by}); err != nil {
				all[i] = testimony{findings: []Finding{{fmt.Sprintf("witness %d", i+1),
					fmt.Sprintf("did not tell its revocations: a key revoked since the point may come back: %v", err)}}}
			}
		})
	}
	wait.Wait()
	var sum testimony
	for _, t := range all {
		sum.known, sum.findings = append(sum.known, t.known...), append(sum.findings, t.findings...)
		if t.by.After(sum.by) {
			sum.by = t.by
		}
	}
	return sum
}
