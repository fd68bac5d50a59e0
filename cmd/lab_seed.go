package cmd

import (
	"context"
	_ "embed" // for seedSpec
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// seedSpec is the OpenAPI document that the lab's routes come from.
//
//go:embed lab_seed.json
var seedSpec []byte

// The keys of a fresh lab, by the words that scenarios use for them.
const (
	liveKey    = "live"
	revokedKey = "revoked"
)

// seedTimeout bounds how long a fresh lab may take until every instance serves what it was seeded with.
const seedTimeout = 20 * time.Second

// labClient reaches the lab as its administrators do: through the edge, which knows which control plane leads.
func labClient(lab *process.Lab) *native.Client {
	return &native.Client{URL: lab.AdminURL(), Host: process.AdminHost, Token: lab.AdminToken(), HTTP: native.NewHTTP()}
}

// labTokens returns the tokens of the seeded keys.
func labTokens(lab *process.Lab) (map[string]string, error) {
	text, err := os.ReadFile(lab.KeysFile())
	if err != nil {
		return nil, fmt.Errorf("read keys of the lab: %w", err)
	}
	var tokens map[string]string
	if err := json.Unmarshal(text, &tokens); err != nil {
		return nil, fmt.Errorf("read keys of the lab: %s: %w", lab.KeysFile(), err)
	}
	return tokens, nil
}

// seedLab gives a fresh lab routes, a spec, a live and a revoked key, and returns when the edge serves them all.
func seedLab(ctx context.Context, lab *process.Lab) error {
	ctx, cancel := context.WithTimeoutCause(ctx, seedTimeout, fmt.Errorf("not done within %s", seedTimeout))
	defer cancel()
	live, revoked := gateway.NewToken(), gateway.NewToken()
	tokens, err := json.Marshal(map[string]string{liveKey: live.Reveal(), revokedKey: revoked.Reveal()})
	if err != nil {
		return fmt.Errorf("seed lab: %w", err)
	}
	if err := os.WriteFile(lab.KeysFile(), append(tokens, '\n'), 0o600); err != nil {
		return fmt.Errorf("seed lab: %w", err)
	}
	seed := seedState(lab.UpstreamURL(), live, revoked, time.Now().UTC())
	for _, region := range seedRegions(lab.Topology()) {
		client := &native.Client{URL: lab.ControlURL(region), Token: lab.AdminToken()}
		if err := eventually(ctx, func() error { return client.Apply(ctx, gateway.Diff(gateway.NewState(), seed)) }); err != nil {
			return fmt.Errorf("seed %s: %w", region, err)
		}
	}
	if err := awaitSeed(ctx, lab, seed.Digest()); err != nil {
		return fmt.Errorf("seed lab: %w", err)
	}
	return awaitEdge(ctx, lab, live.Reveal())
}

// seedRegions are the regions whose control planes have a configuration of their own.
func seedRegions(t process.Topology) []string {
	var names []string
	for _, r := range t.Regions {
		if names == nil || t.Replication == process.ReplicationNone {
			names = append(names, r.Name)
		}
	}
	return names
}

// seedState is the configuration of a fresh lab.
func seedState(echo string, live, revoked gateway.Token, now time.Time) *gateway.State {
	s := gateway.NewState()
	put := func(kind gateway.Kind, id string, body []byte) {
		s.Put(gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: body})
	}
	put(gateway.Upstream, "echo", gateway.Encode(gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: echo}}}))
	put(gateway.Spec, "shop", seedSpec)
	put(gateway.Consumer, "lab", gateway.Encode(gateway.ConsumerBody{Name: "clients of the lab"}))
	for _, key := range []gateway.Token{live, revoked} {
		put(gateway.Key, key.ID, gateway.Encode(gateway.KeyBody{Consumer: "lab", Hash: key.Hash(), Created: now}))
	}
	put(gateway.Revocation, revoked.ID, gateway.Encode(gateway.RevocationBody{At: now, Reason: "to prove that it stays dead"}))
	for id, path := range map[string]string{
		"orders": "/orders", "order": "/orders/{id}", "items": "/items", "item": "/items/{id}", "item-stock": "/items/{id}/stock",
	} {
		put(gateway.Route, id, gateway.Encode(gateway.RouteBody{Path: path, Upstream: "echo", Spec: "shop"}))
	}
	return s
}

// awaitSeed waits until every control plane and every data instance has the configuration with the digest.
func awaitSeed(ctx context.Context, lab *process.Lab, digest string) error {
	instances, err := lab.Instances(ctx)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, in := range instances {
		if in.Role != fleet.Control && in.Role != fleet.Data {
			continue
		}
		client := &native.Client{URL: in.AdminURL, Token: lab.AdminToken()}
		group.Go(func() error {
			return eventually(ctx, func() error {
				status, err := client.Status(ctx)
				if err == nil && status.Digest != digest {
					err = fmt.Errorf("%s has another configuration", in.ID)
				}
				return err
			})
		})
	}
	return group.Wait()
}

// awaitEdge waits until clients reach the first region and administrators the leader: the edge may have found another
// region healthy before.
func awaitEdge(ctx context.Context, lab *process.Lab, token string) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	first := firstServing(lab.Topology())
	err := eventually(ctx, func() error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, lab.Edge()+"/orders", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if region := resp.Header.Get("X-Gwdr-Region"); resp.StatusCode != http.StatusOK || region != first {
			return fmt.Errorf("edge answers %s from region %q, not 200 from %s", resp.Status, region, first)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reach the gateway through the edge: %w", err)
	}
	err = eventually(ctx, func() error {
		status, err := labClient(lab).Brief(ctx)
		if err == nil && status.Mode != gateway.ModeLeader {
			err = errors.New("edge leads to a control plane that does not lead")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("reach the admin API through the edge: %w", err)
	}
	return nil
}

// firstServing is the region that the edge prefers.
func firstServing(t process.Topology) string {
	i := slices.IndexFunc(t.Regions, func(r process.Region) bool { return r.Instances > 0 })
	return t.Regions[i].Name // a valid topology has one
}

// eventually tries until try succeeds or ctx ends.
func eventually(ctx context.Context, try func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}
