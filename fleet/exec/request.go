package exec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
)

// requestSchema is the name of the documents that commands get.
const requestSchema = "gwdr/exec/v1"

// request is the document that a command gets on its standard input. It holds no secret.
type request struct {
	Schema  string           `json:"schema"`
	Command string           `json:"command"` // list, inject, verify, revert, renew or leftovers
	Fleet   string           `json:"fleet"`   // its name in gwdr.yaml
	Fault   *requestFault    `json:"fault,omitempty"`
	Targets []fleet.Instance `json:"targets,omitempty"` // as list told them when the fault was prepared

	nonce string // of the preparation
}

type requestFault struct {
	ID     string          `json:"id"`
	Kind   fleet.FaultKind `json:"kind"`
	With   map[string]any  `json:"with"` // the parameters that are set, by their names in a scenario; times in seconds, as delay_s
	LeaseS float64         `json:"lease_s"`
}

func requestOf(word string, f fleet.Fault, data undoData) request {
	return request{Command: word, Fleet: data.Fleet, Targets: data.Targets, nonce: data.Nonce,
		Fault: &requestFault{ID: f.ID, Kind: f.Kind, With: parameters(f.With), LeaseS: f.Lease.Seconds()}}
}

// answers reports whether the command's output is read as a document.
func (r request) answers() bool { return r.Command == "list" || r.Command == "leftovers" }

// parameters are those that are set.
func parameters(p fleet.Params) map[string]any {
	set := map[string]any{}
	for name, d := range map[string]time.Duration{"delay_s": p.Delay, "jitter_s": p.Jitter, "every_s": p.Every, "offset_s": p.Offset} {
		if d != 0 {
			set[name] = d.Seconds()
		}
	}
	for name, n := range map[string]int64{"rate": p.Rate, "count": p.Count, "bytes": p.Bytes, "status": int64(p.Status)} {
		if n != 0 {
			set[name] = n
		}
	}
	if p.Share != 0 {
		set["share"] = p.Share
	}
	if p.Mode != "" {
		set["mode"] = p.Mode
	}
	if p.Seed != 0 {
		set["seed"] = p.Seed
	}
	if p.Peer != (fleet.Selector{}) {
		set["peer"] = p.Peer
	}
	return set
}

// nonceVariable tells what an injection has started from all else on this machine.
const nonceVariable = "DRILL_NONCE"

// variables say what a shell needs to know, without a reader of JSON.
func (r request) variables() []string {
	v := []string{"DRILL_COMMAND=" + r.Command, "DRILL_FLEET=" + r.Fleet}
	if r.Fault == nil {
		return v
	}
	var ids []string
	for _, t := range r.Targets {
		ids = append(ids, t.ID)
	}
	v = append(v, "DRILL_FAULT="+r.Fault.ID, "DRILL_KIND="+string(r.Fault.Kind), "DRILL_TARGETS="+strings.Join(ids, " "))
	if r.Command == "inject" {
		v = append(v, nonceVariable+"="+r.nonce)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fault.With)) {
		if name != "peer" { // a document of its own
			v = append(v, fmt.Sprintf("DRILL_WITH_%s=%v", strings.ToUpper(name), r.Fault.With[name]))
		}
	}
	return v
}
