package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"gwdr/fleet"
)

// The edge's configuration, in the form of the bundled gateway's last good configuration: NDJSON of a header, one line
// per entity and an end.
type (
	stateHeader struct {
		Store    string    `json:"store"`
		Revision int64     `json:"revision"`
		Epoch    int64     `json:"epoch"`
		Time     time.Time `json:"time"`
	}
	stateEntity struct {
		Kind string `json:"kind"`
		ID   string `json:"id"`
		Body []byte `json:"body"`
	}
	stateEnd struct {
		End   bool `json:"end"`
		Count int  `json:"count"`
	}
	edgeUpstream struct {
		Endpoints []edgeEndpoint `json:"endpoints"`
		Balance   string         `json:"balance"`
		Health    edgeHealth     `json:"health"`
		// AllUnhealthy: what no check speaks for is asked all the same, as a client without an edge would.
		AllUnhealthy string `json:"all_unhealthy"`
	}
	edgeEndpoint struct {
		URL      string `json:"url"`
		Priority int    `json:"priority,omitempty"`
	}
	edgeHealth struct {
		Path      string `json:"path"`
		Interval  string `json:"interval"`
		Timeout   string `json:"timeout"`
		Unhealthy int    `json:"unhealthy"`
	}
	edgeRoute struct {
		Hosts    []string `json:"hosts,omitempty"`
		Path     string   `json:"path"`
		Upstream string   `json:"upstream"`
		Auth     string   `json:"auth"`
	}
)

// How the edge finds out that a region is down. A killed one refuses connections, which needs no timeout: that is for one
// that hangs, and long enough not to take a busy machine for it.
const (
	edgeInterval  = "100ms"
	edgeTimeout   = "250ms"
	edgeUnhealthy = 2
)

// The ids of the edge's upstreams: the data instances of all regions, and their control planes.
const (
	DataUpstream  = "regions"
	AdminUpstream = "admin"
)

// edgeState sends API traffic to the first region that has a healthy data instance, and administrators to the control
// plane that leads. The edge checks no keys: the regions do.
func (p *plan) edgeState(now time.Time) ([]byte, error) {
	var regions, admin []edgeEndpoint
	for i, r := range p.topology.Regions {
		admin = append(admin, edgeEndpoint{URL: "http://" + p.endpoints.Links[edgeTo(controlID(r.Name))], Priority: i})
		for _, prog := range p.programs {
			if prog.Role == fleet.Data && prog.Region == r.Name {
				regions = append(regions, edgeEndpoint{URL: prog.URL, Priority: i})
			}
		}
	}
	return encodeState(now,
		entity("upstream", AdminUpstream, failover(admin, "/leader")),
		entity("upstream", DataUpstream, failover(regions, "/.gwdr/ready")),
		entity("route", "admin", edgeRoute{Hosts: []string{AdminHost}, Path: "/v1/{rest...}", Upstream: AdminUpstream, Auth: "none"}),
		entity("route", "regions", edgeRoute{Path: "/{rest...}", Upstream: DataUpstream, Auth: "none"}),
	)
}

func failover(endpoints []edgeEndpoint, path string) edgeUpstream {
	return edgeUpstream{Endpoints: endpoints, Balance: "failover", AllUnhealthy: "fail-open", Health: edgeHealth{
		Path: path, Interval: edgeInterval, Timeout: edgeTimeout, Unhealthy: edgeUnhealthy,
	}}
}

func entity(kind, id string, body any) func() (stateEntity, error) {
	return func() (stateEntity, error) {
		text, err := json.Marshal(body)
		return stateEntity{Kind: kind, ID: id, Body: text}, err
	}
}

func encodeState(now time.Time, entities ...func() (stateEntity, error)) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	err := enc.Encode(stateHeader{Store: "edge", Revision: 1, Epoch: 1, Time: now.UTC()})
	for _, make := range entities {
		if err != nil {
			break
		}
		var e stateEntity
		if e, err = make(); err == nil {
			err = enc.Encode(e)
		}
	}
	if err == nil {
		err = enc.Encode(stateEnd{End: true, Count: len(entities)})
	}
	if err != nil {
		return nil, fmt.Errorf("write edge configuration: %w", err)
	}
	return out.Bytes(), nil
}
