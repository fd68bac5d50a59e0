package cmd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/probes"
)

// labEdge is the lab's edge, as a drill looks at it: how it is configured, and to whom it sends requests.
type labEdge struct {
	edge      *native.Client
	instances map[string]fleet.Instance // by the URL at which the edge reaches them
}

// The planes behind the edge's upstreams.
var edgePlanes = map[string]probes.Plane{process.DataUpstream: probes.DataPlane, process.AdminUpstream: probes.ControlPlane}

func newLabEdge(lab *process.Lab, instances []fleet.Instance) *labEdge {
	e := &labEdge{instances: map[string]fleet.Instance{}}
	for _, in := range instances {
		switch in.Role {
		case fleet.Edge:
			e.edge = &native.Client{URL: in.AdminURL, Token: lab.AdminToken()}
		case fleet.Data:
			e.instances[in.URL] = in
		case fleet.Control:
			e.instances[lab.ControlFromEdge(in.Region)] = in
		}
	}
	return e
}

// health returns to which instances the edge sends requests, by plane and id.
func (e *labEdge) health(ctx context.Context) (map[probes.Plane]map[string]bool, error) {
	endpoints, err := e.edge.Endpoints(ctx)
	if err != nil {
		return nil, err
	}
	all := map[probes.Plane]map[string]bool{probes.DataPlane: {}, probes.ControlPlane: {}}
	for _, p := range endpoints {
		if in, ok := e.instances[p.URL]; ok && all[edgePlanes[p.Upstream]] != nil {
			all[edgePlanes[p.Upstream]][in.ID] = p.Healthy
		}
	}
	return all, nil
}

// fronts reads from the edge itself how it passes requests on. It serves by those that are healthy now and come first.
func (e *labEdge) fronts(ctx context.Context) (map[probes.Plane]drills.Front, error) {
	_, state, err := e.edge.State(ctx)
	if err != nil {
		return nil, fmt.Errorf("read configuration of the edge: %w", err)
	}
	endpoints, err := e.edge.Endpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("read health of the edge: %w", err)
	}
	all := map[probes.Plane]drills.Front{}
	for entity := range state.Kind(gateway.Upstream) {
		plane, ok := edgePlanes[entity.ID]
		if !ok {
			continue
		}
		var body gateway.UpstreamBody
		if err := gateway.Decode(entity.Body, &body); err != nil {
			return nil, fmt.Errorf("read configuration of the edge: upstream %s: %w", entity.ID, err)
		}
		all[plane] = e.front(entity.ID, body, endpoints)
	}
	return all, nil
}

func (e *labEdge) front(upstream string, body gateway.UpstreamBody, endpoints []native.Endpoint) drills.Front {
	f := drills.Front{Name: "the edge", Broken: body.Broken(), Retries: body.Repeats()}
	if c := body.Health.WithDefaults(); c.Path != "" {
		f.Check = drills.Check{Every: time.Duration(c.Interval), Timeout: time.Duration(c.Timeout), Unhealthy: c.Unhealthy, Healthy: c.Healthy}
	}
	first := -1
	endpoints = slices.DeleteFunc(slices.Clone(endpoints), func(p native.Endpoint) bool { return p.Upstream != upstream })
	for _, p := range endpoints {
		if p.Healthy && (first < 0 || p.Priority < first) {
			first = p.Priority
		}
	}
	for _, p := range endpoints {
		in, ok := e.instances[p.URL]
		switch {
		case !ok:
		case p.Healthy && (p.Priority == first || body.Balance != gateway.Failover):
			f.Serving = append(f.Serving, in.ID)
		default:
			f.Standby = append(f.Standby, in.ID)
		}
	}
	return f
}
