package cmd

import (
	"context"
	"net/http"
	"sync"

	"gwdr/fleet"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// newLedgerAdmin returns the ledger of a fleet of bundled gateways, which were seeded as the lab is.
func newLedgerAdmin(writer *native.Client, token string, client *http.Client, instances func(context.Context) ([]fleet.Instance, error)) *ledgerAdmin {
	return &ledgerAdmin{writer: nativeWriter{writer}, http: client, upstream: labLedgerUpstream, echoes: true, keyPath: labLedgerKeyPath,
		regions: func(ctx context.Context) (map[string]*ledgerRegion, error) {
			all, err := instances(ctx)
			if err != nil {
				return nil, err
			}
			return fleetRegions(ctx, all, token), nil
		}}
}

// fleetRegions returns the regions whose control plane is up and not blank, with those of their data planes that answer: one that
// hangs runs, and yet can be asked for nothing.
func fleetRegions(ctx context.Context, instances []fleet.Instance, token string) map[string]*ledgerRegion {
	all := map[string]*ledgerRegion{}
	statuses := askAll(ctx, instances, token)
	for i, in := range instances {
		if status := statuses[i]; in.Role == fleet.Control && status != nil && status.Mode != gateway.ModeBlank {
			all[in.Region] = &ledgerRegion{control: &native.Client{URL: in.AdminURL, Token: token}}
		}
	}
	for i, in := range instances {
		if r := all[in.Region]; r != nil && in.Role == fleet.Data && statuses[i] != nil {
			r.data = append(r.data, &native.Client{URL: in.AdminURL, Token: token})
			if r.url == "" {
				r.url = in.URL
			}
		}
	}
	return all
}

// askAll returns the status of each instance, or nil for one that does not run or does not answer.
func askAll(ctx context.Context, instances []fleet.Instance, token string) []*gateway.Status {
	ctx, cancel := context.WithTimeout(ctx, ledgerAskTimeout)
	defer cancel()
	statuses := make([]*gateway.Status, len(instances))
	var asking sync.WaitGroup
	for i, in := range instances {
		if !in.Running || in.Role != fleet.Control && in.Role != fleet.Data {
			continue
		}
		asking.Go(func() {
			client := &native.Client{URL: in.AdminURL, Token: token}
			if status, err := client.Brief(ctx); err == nil {
				statuses[i] = &status
			}
		})
	}
	asking.Wait()
	return statuses
}
