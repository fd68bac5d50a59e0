package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/probes"
)

// Reading back.
const (
	ledgerAskTimeout = time.Second     // for a region to say whether it is there
	ledgerSyncWait   = 5 * time.Second // for a region's data plane to have what its control plane has
	ledgerGetTimeout = 2 * time.Second // for one request
	ledgerParallel   = 8               // requests at once
	ledgerPause      = 50 * time.Millisecond
)

// ledgerRegion is a region that can be asked.
type ledgerRegion struct {
	control gateway.Source   // lists everything; asked for each object, too, if it is a ledgerGetter
	data    []*native.Client // of the data instances whose admin listener can be asked
	url     string           // of a data plane; empty: not asked
}

// ledgerGetter is a gateway that also gives one entity by itself. The error wraps gateway.ErrNotFound if it is not there.
type ledgerGetter interface {
	Get(ctx context.Context, r gateway.Ref) (gateway.Item, error)
}

// ledgerStatus is a gateway that knows its digest without being read.
type ledgerStatus interface {
	Status(ctx context.Context) (gateway.Status, error)
}

// Regions lists the regions that are to be read back.
func (l *ledgerAdmin) Regions(ctx context.Context) ([]string, error) {
	all, err := l.regions(ctx)
	return slices.Sorted(maps.Keys(all)), err
}

func (l *ledgerAdmin) region(ctx context.Context, name string) (*ledgerRegion, error) {
	all, err := l.regions(ctx)
	if err == nil && all[name] == nil {
		err = fmt.Errorf("control plane of %s does not answer", name)
	}
	return all[name], err
}

// Digest returns the digest of the region's control plane, if its data planes have loaded the same.
func (l *ledgerAdmin) Digest(ctx context.Context, name string) (string, error) {
	r, err := l.region(ctx, name)
	if err != nil {
		return "", err
	}
	return r.digest(ctx)
}

func (r *ledgerRegion) digest(ctx context.Context) (string, error) {
	want, err := r.controlDigest(ctx)
	if err != nil {
		return "", err
	}
	for _, client := range r.data {
		data, err := client.Status(ctx)
		if err != nil {
			return "", err
		}
		if data.Digest != want {
			return "", fmt.Errorf("%s has not loaded the configuration of its control plane", data.Instance)
		}
	}
	return want, nil
}

func (r *ledgerRegion) controlDigest(ctx context.Context) (string, error) {
	if s, ok := r.control.(ledgerStatus); ok {
		status, err := s.Status(ctx)
		return status.Digest, err
	}
	e, err := r.control.Export(ctx)
	if err != nil {
		return "", err
	}
	return e.State.Digest(), nil
}

// Observe lists the region's control plane, asks it for every object by itself, and asks one of its data planes.
func (l *ledgerAdmin) Observe(ctx context.Context, name string, changes []probes.Change) ([]probes.Observation, error) {
	r, err := l.region(ctx, name)
	if err != nil {
		return nil, err
	}
	r.await(ctx)
	listed, err := r.control.Export(ctx)
	if err != nil {
		return nil, err
	}
	seen := l.observations(name, listed, changes)
	until := time.Now().Add(ledgerSyncWait)
	var group errgroup.Group
	group.SetLimit(ledgerParallel)
	for i := range seen {
		group.Go(func() error {
			l.askObject(ctx, r, &seen[i])
			l.askData(ctx, r, &seen[i], until)
			return nil
		})
	}
	group.Wait()
	return append(seen, l.strangers(name, listed.State, changes)...), ctx.Err()
}

// await gives the data planes the time to load what the control plane has; what they lack after it is seen at them.
func (r *ledgerRegion) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ledgerSyncWait)
	defer cancel()
	for len(r.data) > 0 {
		if _, err := r.digest(ctx); err == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(ledgerPause):
		}
	}
}

// ledgerObject is what changes are of: a revocation is seen at its key.
func ledgerObject(c probes.Change) probes.Change {
	if c.Kind == probes.RevokeChange {
		c.Kind = probes.KeyChange
	}
	return probes.Change{Kind: c.Kind, ID: c.ID}
}

// observations says what the list has of each object of the changes.
func (l *ledgerAdmin) observations(region string, listed *gateway.Export, changes []probes.Change) []probes.Observation {
	seen := map[probes.Change]bool{}
	var all []probes.Observation
	for _, c := range changes {
		object := ledgerObject(c)
		if seen[object] {
			continue
		}
		seen[object] = true
		o := probes.Observation{Region: region, Kind: object.Kind, ID: object.ID, Data: -1}
		ref := l.ref(object)
		if slices.Contains(listed.Unreachable, ref.Kind) {
			o.Error = "the gateway does not give its entities of kind " + string(ref.Kind)
		}
		if body, ok := listed.State.Get(ref); ok {
			o.Version = l.version(gateway.Entity{Ref: ref, Body: body}, object.ID)
		}
		if ref.Kind == gateway.Key {
			_, o.Revoked = listed.State.Get(gateway.Ref{Kind: gateway.Revocation, ID: ref.ID})
		}
		all = append(all, o)
	}
	return all
}

// strangers finds what bears the mark of this ledger although no change made it.
func (l *ledgerAdmin) strangers(region string, s *gateway.State, changes []probes.Change) (all []probes.Observation) {
	runs, known := map[string]bool{}, map[gateway.Ref]bool{}
	for _, c := range changes {
		runs[ledgerRunOf(c.ID)] = true
		known[l.ref(c)] = true
	}
	for e := range s.All() {
		mark, ok := readLedgerMark(e.Kind, e.Body)
		if !ok || known[e.Ref] || e.Kind == gateway.Revocation || !runs[ledgerRunOf(mark.ID)] {
			continue
		}
		all = append(all, probes.Observation{Region: region, Kind: probes.ChangeKind(e.Kind), ID: mark.ID, Version: mark.Version, Data: -1})
	}
	return all
}

// ledgerRunOf returns what the ids of all objects of one ledger begin with.
func ledgerRunOf(id string) string { return id[:strings.LastIndexByte(id, '-')+1] }

// askObject asks for the object by itself, and for the revocation of a key that has one.
func (l *ledgerAdmin) askObject(ctx context.Context, r *ledgerRegion, o *probes.Observation) {
	getter, ok := r.control.(ledgerGetter)
	if !ok || o.Error != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerGetTimeout)
	defer cancel()
	ref := l.ref(probes.Change{Kind: o.Kind, ID: o.ID})
	version := int64(0)
	item, err := getter.Get(ctx, ref)
	if err == nil {
		version = l.version(item.Entity, o.ID)
	}
	if errors.Is(err, gateway.ErrNotFound) {
		err = nil
	}
	if err == nil && o.Revoked {
		_, err = getter.Get(ctx, gateway.Ref{Kind: gateway.Revocation, ID: ref.ID})
		if errors.Is(err, gateway.ErrNotFound) {
			o.Revoked, err = false, nil
		}
	}
	if err != nil {
		o.Error = err.Error()
		return
	}
	o.Object = &version
}
