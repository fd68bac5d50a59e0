package cmd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/probes"
)

// Reading back.
const (
	ledgerAskTimeout = time.Second     // for a region to say whether it is there
	ledgerSyncWait   = 5 * time.Second // for a region's data plane to have what its control plane has
	ledgerGetTimeout = 2 * time.Second // for one request at the data plane
	ledgerParallel   = 8               // requests at once
)

// ledgerRegion is a region that can be asked.
type ledgerRegion struct {
	control *native.Client
	data    []*native.Client // of the data instances that run
	url     string           // of the first data plane
}

// regions returns the regions whose control plane is up and not blank.
func (l *ledgerAdmin) regions(ctx context.Context) (map[string]*ledgerRegion, error) {
	instances, err := l.instances(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string]*ledgerRegion{}
	for _, in := range (fleet.Selector{Role: fleet.Control}).Select(instances) {
		client := &native.Client{URL: in.AdminURL, Token: l.token}
		ask, cancel := context.WithTimeout(ctx, ledgerAskTimeout)
		status, err := client.Brief(ask)
		cancel()
		if in.Running && err == nil && status.Mode != gateway.ModeBlank {
			all[in.Region] = &ledgerRegion{control: client}
		}
	}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(instances) {
		if r := all[in.Region]; r != nil && in.Running {
			r.data = append(r.data, &native.Client{URL: in.AdminURL, Token: l.token})
			if r.url == "" {
				r.url = in.URL
			}
		}
	}
	return all, nil
}

// Regions lists the regions that can be read back.
func (l *ledgerAdmin) Regions(ctx context.Context) ([]string, error) {
	all, err := l.regions(ctx)
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, err
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
	control, err := r.control.Status(ctx)
	if err != nil {
		return "", err
	}
	for _, client := range r.data {
		data, err := client.Status(ctx)
		if err != nil {
			return "", err
		}
		if data.Digest != control.Digest {
			return "", fmt.Errorf("%s has not loaded the configuration of %s", data.Instance, control.Instance)
		}
	}
	return control.Digest, nil
}

// Observe reads the region's control plane, and asks one of its data planes about every object.
func (l *ledgerAdmin) Observe(ctx context.Context, name string, changes []probes.Change) ([]probes.Observation, error) {
	r, err := l.region(ctx, name)
	if err != nil {
		return nil, err
	}
	r.await(ctx)
	_, state, err := r.control.State(ctx)
	if err != nil {
		return nil, err
	}
	seen := l.observations(name, state, changes)
	var group errgroup.Group
	group.SetLimit(ledgerParallel)
	for i := range seen {
		group.Go(func() error { l.askData(ctx, r.url, &seen[i]); return nil })
	}
	return seen, group.Wait()
}

// await gives the data planes the time to load what the control plane has; what they lack after it is seen at them.
func (r *ledgerRegion) await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ledgerSyncWait)
	defer cancel()
	for {
		if _, err := r.digest(ctx); err == nil || ctx.Err() != nil {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// observations says what the state has of each object of the changes.
func (l *ledgerAdmin) observations(region string, state *gateway.State, changes []probes.Change) []probes.Observation {
	type object struct {
		kind probes.ChangeKind
		id   string
	}
	seen := map[object]bool{}
	var all []probes.Observation
	for _, c := range changes {
		if c.Kind == probes.RevokeChange {
			c.Kind = probes.KeyChange
		}
		if seen[object{c.Kind, c.ID}] {
			continue
		}
		seen[object{c.Kind, c.ID}] = true
		o := probes.Observation{Region: region, Kind: c.Kind, ID: c.ID, Data: -1}
		ref := l.ref(c)
		if body, ok := state.Get(ref); ok {
			o.Version = ledgerVersion(c.Kind, body)
		}
		if c.Kind == probes.KeyChange {
			_, o.Revoked = state.Get(gateway.Ref{Kind: gateway.Revocation, ID: ref.ID})
		}
		all = append(all, o)
	}
	return all
}

// askData asks the data plane: the route's answer tells its version, a key's whether it is refused. A spec has no answer.
func (l *ledgerAdmin) askData(ctx context.Context, url string, o *probes.Observation) {
	if o.Kind == probes.SpecChange || url == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, ledgerGetTimeout)
	defer cancel()
	path := ledgerPath(o.ID)
	if o.Kind == probes.KeyChange {
		path = ledgerKeyRoute
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+path, nil)
	if err != nil {
		o.Error = err.Error()
		return
	}
	if o.Kind == probes.KeyChange {
		request.Header.Set("Authorization", "Bearer "+l.key(o.ID).Reveal())
	}
	response, err := l.http.Do(request)
	if err != nil {
		o.Error = err.Error()
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	o.Data, o.Refused, err = readAnswer(o, response)
	if err != nil {
		o.Error = err.Error()
	}
}

func readAnswer(o *probes.Observation, response *http.Response) (version int64, refused bool, err error) {
	status := response.StatusCode
	switch {
	case o.Kind == probes.KeyChange && status == http.StatusOK:
		return o.Version, false, nil
	case o.Kind == probes.KeyChange && status == http.StatusUnauthorized:
		return 0, true, nil
	case o.Kind == probes.RouteChange && status == http.StatusOK:
		version, err = strconv.ParseInt(response.Header.Get("X-Gwdr-Revision"), 10, 64)
		return version, false, err
	case o.Kind == probes.RouteChange && status == http.StatusNotFound:
		return 0, false, nil
	}
	return -1, false, fmt.Errorf("data plane answered %s", response.Status)
}
