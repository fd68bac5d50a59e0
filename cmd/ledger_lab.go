package cmd

import (
	"context"
	"net/http"

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

// fleetRegions returns the regions whose control plane is up and not blank.
func fleetRegions(ctx context.Context, instances []fleet.Instance, token string) map[string]*ledgerRegion {
	all := map[string]*ledgerRegion{}
	for _, in := range (fleet.Selector{Role: fleet.Control}).Select(instances) {
		client := &native.Client{URL: in.AdminURL, Token: token}
		ask, cancel := context.WithTimeout(ctx, ledgerAskTimeout)
		status, err := client.Brief(ask)
		cancel()
		if in.Running && err == nil && status.Mode != gateway.ModeBlank {
			all[in.Region] = &ledgerRegion{control: client}
		}
	}
	for _, in := range (fleet.Selector{Role: fleet.Data}).Select(instances) {
		if r := all[in.Region]; r != nil && in.Running {
			r.data = append(r.data, &native.Client{URL: in.AdminURL, Token: token})
			if r.url == "" {
				r.url = in.URL
			}
		}
	}
	return all
}
