// Package fleet is what a drill may break: instances in regions, and the faults that are injected into them and
// reverted. How an instance is broken is the driver's business (process, docker, ...); what is broken, and for how long,
// is data.
package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Role says what an instance does in its region.
type Role string

// The roles of an instance.
const (
	Control Role = "control" // the region's control plane: store and admin API
	Data    Role = "data"    // serves API traffic
	Edge    Role = "edge"    // in front of the regions; belongs to none

	Upstream Role = "upstream" // a service behind the gateway; belongs to no region
	Location Role = "location" // keeps backups; belongs to no region
)

// Instance is one running or stopped part of a gateway.
type Instance struct {
	ID       string `json:"id"` // unique in the fleet: us-east-1
	Region   string `json:"region,omitempty"`
	Role     Role   `json:"role"`
	Running  bool   `json:"running"`
	PID      int    `json:"pid,omitempty"`
	URL      string `json:"url,omitempty"`       // where clients reach its data plane, through links where there are any
	AdminURL string `json:"admin_url,omitempty"` // where its admin and health endpoints are, directly
}

// Fault is one thing to break. It is data: it says nothing of how.
type Fault struct {
	ID    string        `json:"id"` // unique in the drill; [a-z0-9-]
	Kind  FaultKind     `json:"kind"`
	With  Params        `json:"with,omitzero"`
	Lease time.Duration `json:"lease_ns"` // the injection point heals the fault by itself when it was not renewed for so long
}

// Undo is all that another process, or another version, needs to revert a fault. It is made and kept safe before the
// fault is injected.
type Undo struct {
	Driver  string          `json:"driver"` // the Fleet driver that can read Data
	Fault   Fault           `json:"fault"`
	Targets []string        `json:"targets"` // ids of instances
	Data    json.RawMessage `json:"data"`    // the driver's own; holds no secret
}

// Fleet breaks and mends instances. Every method is safe for concurrent use.
type Fleet interface {
	// Instances lists all instances, by id.
	Instances(ctx context.Context) ([]Instance, error)
	// Prepare says how the fault would be undone and touches nothing. The error wraps ErrUnsupported if the driver
	// cannot inject this kind of fault into these targets, and ErrNoTarget if there are none.
	Prepare(ctx context.Context, f Fault, targets []Instance) (Undo, error)
	// Inject breaks what u was prepared for. After an error, parts may be broken: revert all the same.
	Inject(ctx context.Context, u Undo) error
	// Verify shows by an independent path that the fault is in effect, and returns what it saw; the error says what is
	// still well.
	Verify(ctx context.Context, u Undo) (string, error)
	// Renew extends the lease of the fault.
	Renew(ctx context.Context, u Undo) error
	// Revert ends the fault and proves it: it returns nil only once the targets are as they were. It is idempotent, and
	// does nothing but say so when the fault, or the whole fleet, is gone.
	Revert(ctx context.Context, u Undo) error
	// Leftovers lists faults that are still in effect, by id.
	Leftovers(ctx context.Context) ([]string, error)
}

// ErrUnsupported is wrapped by errors that say the driver cannot inject such a fault.
var ErrUnsupported = errors.New("fault is not supported by this fleet")

// ErrNoTarget is wrapped by errors that say a selector matched nothing.
var ErrNoTarget = errors.New("no instance matches")

// Selector picks instances. Empty fields match any value, but an empty Selector matches nothing.
type Selector struct {
	Region   string `yaml:"region,omitempty" json:"region,omitempty"`
	Role     Role   `yaml:"role,omitempty" json:"role,omitempty"`
	Instance string `yaml:"instance,omitempty" json:"instance,omitempty"`
}

// Select returns the instances that s matches, in their order.
func (s Selector) Select(all []Instance) []Instance {
	var matched []Instance
	for _, in := range all {
		if s != (Selector{}) && matches(s.Region, in.Region) && matches(s.Role, in.Role) && matches(s.Instance, in.ID) {
			matched = append(matched, in)
		}
	}
	return matched
}

func matches[T ~string](want, have T) bool { return want == "" || want == have }
