package process

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/link"
)

// linkFaults are those of the network. All that the lab's processes say to each other goes over links, which a process of
// its own carries: it does the fault, and heals it when nobody renews, also if the supervisor hangs.
func linkFaults() map[fleet.FaultKind]injector {
	gateways := []fleet.Role{fleet.Control, fleet.Data}
	all := append([]fleet.Role{fleet.Upstream}, gateways...)
	return map[fleet.FaultKind]injector{
		fleet.Isolate:   linkFault(gateways, isolated, lookCutOff),
		fleet.Partition: linkFault(gateways, partitioned, lookSilent),
		fleet.Latency:   linkFault(all, late, lookLate),
		fleet.Bandwidth: linkFault(all, slow, lookSlow),
		fleet.Reset:     linkFault(all, always(link.State{Mode: link.Reset}), lookReset),
		fleet.BlackHole: linkFault(all, always(link.State{Mode: link.Blackhole}), lookSilent),
	}
}

// linkFault is one that does the state to a link over which the target is the one that connects, or the one that is connected to.
func linkFault(roles []fleet.Role, state func(with fleet.Params, connects bool) link.State, look lookAtLink) injector {
	return injector{
		roles: roles, links: true, look: look.all, renew: (*supervisor).renewLinks, inject: (*supervisor).cutLinks,
		prepare: func(l *Lab, u fleet.Undo, all []Process) (fleet.Undo, error) { return l.addCuts(u, all, state) },
		revert:  func(s *supervisor, ctx context.Context, f *fault) error { return s.mendLinks(ctx, f, look) },
	}
}

// isolated drops the first packet of new connections, too: connecting gets no answer.
func isolated(fleet.Params, bool) link.State { return link.State{Mode: link.Blackhole, Deaf: true} }

// partitioned drops what the target sends. What its peer sends arrives: a request may be done whose answer is lost.
func partitioned(_ fleet.Params, connects bool) link.State {
	dropped := link.Flow{Drop: true}
	if connects {
		return link.State{Mode: link.Shape, There: dropped}
	}
	return link.State{Mode: link.Shape, Back: dropped}
}

func late(with fleet.Params, _ bool) link.State {
	flow := link.Flow{Delay: with.Delay, Jitter: with.Jitter}
	return link.State{Mode: link.Shape, There: flow, Back: flow}
}

func slow(with fleet.Params, _ bool) link.State {
	flow := link.Flow{Rate: with.Rate}
	return link.State{Mode: link.Shape, There: flow, Back: flow}
}

func always(s link.State) func(fleet.Params, bool) link.State {
	return func(fleet.Params, bool) link.State { return s }
}

// brokenLink is what a fault does to one link. With it another process can look at the link, and end the fault.
type brokenLink struct {
	Link  string     `json:"link"`  // its id
	Addr  string     `json:"addr"`  // host:port that it listens on
	Far   string     `json:"far"`   // host:port of its far end, directly
	State link.State `json:"state"` // without owner and lease
}

// addCuts adds to u which links the fault cuts.
func (l *Lab) addCuts(u fleet.Undo, all []Process, state func(fleet.Params, bool) link.State) (fleet.Undo, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return fleet.Undo{}, err
	}
	cuts := l.file.cuts(u, all, state)
	if len(cuts) == 0 {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s of %s: no link of the lab leads from there to %s: %w",
			u.Fault.ID, strings.Join(u.Targets, ", "), peerName(u.Fault), fleet.ErrUnsupported)
	}
	for i, t := range data.Targets {
		data.Targets[i].Links = cuts[t.ID]
	}
	if u.Data, err = json.Marshal(data); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", u.Fault.ID, err)
	}
	return u, nil
}

func peerName(f fleet.Fault) string {
	if f.With.Peer == (fleet.Selector{}) {
		return "anybody"
	}
	text, _ := json.Marshal(f.With.Peer)
	return "its peer " + string(text)
}

// cuts returns what is cut for each target. An isolation leaves the links among its targets alone, as they are one side of
// it; a link between two targets of another fault is cut once.
func (e endpoints) cuts(u fleet.Undo, all []Process, state func(fleet.Params, bool) link.State) map[string][]brokenLink {
	var instances []fleet.Instance
	for _, p := range all {
		instances = append(instances, p.Instance)
	}
	var peers []string
	for _, in := range u.Fault.With.Peer.Select(instances) {
		peers = append(peers, in.ID)
	}
	target := func(id string) bool { return slices.Contains(u.Targets, id) }
	other := func(id string) bool {
		if u.Fault.With.Peer != (fleet.Selector{}) {
			return slices.Contains(peers, id)
		}
		return u.Fault.Kind != fleet.Isolate || !target(id)
	}
	cuts := map[string][]brokenLink{}
	for id, ends := range e.Ends {
		switch {
		case target(ends.From) && other(ends.To):
			cuts[ends.From] = append(cuts[ends.From], brokenLink{id, e.Links[id], ends.Addr, state(u.Fault.With, true)})
		case target(ends.To) && other(ends.From):
			cuts[ends.To] = append(cuts[ends.To], brokenLink{id, e.Links[id], ends.Addr, state(u.Fault.With, false)})
		}
	}
	for _, of := range cuts {
		slices.SortFunc(of, func(a, b brokenLink) int { return compareIDs(a.Link, b.Link) })
	}
	return cuts
}

// linksWithin bounds how long the process with the links may take to answer.
const linksWithin = 5 * time.Second
