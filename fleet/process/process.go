// Package process is the lab: a fleet of real gateway processes on this machine. Each region has a control plane and
// data instances; an edge stands in front of the regions, an echo upstream behind them, and every connection between
// them goes over a link (see gwdr/fleet/link).
//
// A supervisor process of its own is the parent of all others. It injects and reverts faults, heals those whose lease
// has run out, and takes every process with it when it ends, however it ends. A Lab is a client of that supervisor.
package process

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Driver is what Undo.Driver says of the faults of a Lab.
const Driver = "process"

// AdminHost is the Host header by which the edge tells requests to the leading control plane from API traffic.
const AdminHost = "admin.gwdr.lab"

// ErrNoLab is wrapped by errors that say no lab is running in the directory.
var ErrNoLab = errors.New("no lab is running")

// ErrRunning is wrapped by errors that say a lab is running in the directory already.
var ErrRunning = errors.New("a lab is already running")

// Topology says which processes a lab has: for each region one control plane and a number of data instances.
type Topology struct {
	Regions     []Region `json:"regions"`
	Replication string   `json:"replication"`     // ReplicationNone, ReplicationAsync or ReplicationSync
	Links       []Link   `json:"links,omitempty"` // to further TCP services, such as locations of backups
}

// The values of Topology.Replication.
const (
	ReplicationNone  = "none"  // each region has a configuration of its own; the first region's control plane leads
	ReplicationAsync = "async" // the first region's control plane leads, the others follow
	ReplicationSync  = "sync"  // the control planes are members of one store: each takes writes, which a quorum acknowledges
)

// Region is a region with its number of data instances.
type Region struct {
	Name      string `json:"name"`
	Instances int    `json:"instances"`
}

// Link is a link to a TCP service outside of the lab.
type Link struct {
	ID string `json:"id"`
	To string `json:"to"` // host:port
}

// The bounds of a lab on one machine.
const (
	maxRegions   = 8
	maxInstances = 32 // data instances of all regions
	minMembers   = 3  // regions of a lab with ReplicationSync: fewer cannot lose one
)

// Equal reports whether both are the same lab.
func (t Topology) Equal(other Topology) bool {
	return t.Replication == other.Replication && slices.Equal(t.Regions, other.Regions) && slices.Equal(t.Links, other.Links)
}

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`)

// Validate reports why there can be no such lab.
func (t Topology) Validate() error {
	if n := len(t.Regions); n < 1 || n > maxRegions {
		return fmt.Errorf("a lab has 1 to %d regions, not %d", maxRegions, n)
	}
	instances := 0
	var names []string
	for _, r := range t.Regions {
		if !namePattern.MatchString(r.Name) {
			return fmt.Errorf("region name %q is not of the form %s", r.Name, namePattern)
		}
		if r.Instances < 0 {
			return fmt.Errorf("region %s has %d instances", r.Name, r.Instances)
		}
		instances += r.Instances
		names = append(names, r.Name)
	}
	for _, l := range t.Links {
		if !namePattern.MatchString(l.ID) {
			return fmt.Errorf("link name %q is not of the form %s", l.ID, namePattern)
		}
		names = append(names, l.ID)
	}
	if slices.Sort(names); len(slices.Compact(slices.Clone(names))) != len(names) {
		return fmt.Errorf("a name is there twice: %s", strings.Join(names, ", "))
	}
	if instances < 1 || instances > maxInstances {
		return fmt.Errorf("a lab has 1 to %d data instances, not %d", maxInstances, instances)
	}
	return t.checkReplication()
}

func (t Topology) checkReplication() error {
	n := len(t.Regions)
	switch known := []string{ReplicationNone, ReplicationAsync, ReplicationSync}; {
	case !slices.Contains(known, t.Replication):
		return fmt.Errorf("replication %q is none of %s", t.Replication, strings.Join(known, ", "))
	case t.Replication == ReplicationSync && (n < minMembers || n%2 == 0):
		return fmt.Errorf("replication %s needs an odd number of regions, at least %d, not %d: their majority is the quorum",
			ReplicationSync, minMembers, n)
	}
	return nil
}

// Options say how a lab is started.
type Options struct {
	Dir        string // everything of the lab lies here; created with mode 0700
	Executable string // gwdr itself: runs `lab supervise`, `serve` and the other processes
	Topology   Topology
	Owned      bool          // the lab ends when the last holder of Lab.OwnerFile is gone
	Env        []string      // environment of every process, beside the little that it needs
	Timeout    time.Duration // until it is ready; 0 means 30s
	Log        *slog.Logger  // nil discards
}
