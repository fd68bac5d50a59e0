package gateway

import (
	"errors"
	"time"
)

// Mode is what a control plane does with writes.
type Mode string

// The modes of a control plane.
const (
	ModeLeader   Mode = "leader"   // takes writes
	ModeFollower Mode = "follower" // copies a leader in another region
	ModeFenced   Mode = "fenced"   // led until it was demoted or another region promoted, and has not yet joined that
	ModeBlank    Mode = "blank"    // the store was emptied from outside and waits for a restore
	ModeBackup   Mode = "backup"   // there is no store yet: it serves from a backup until it is promoted
)

// Status is what an instance says about itself at GET /v1/status. A data plane fills in what it has loaded.
type Status struct {
	Instance    string       `json:"instance"`
	Region      string       `json:"region"`
	Role        string       `json:"role"`
	Store       string       `json:"store"`
	Revision    int64        `json:"revision"`
	Epoch       int64        `json:"epoch"`
	Mode        Mode         `json:"mode,omitempty"`         // control planes only
	Leader      string       `json:"leader,omitempty"`       // URL of the control plane that takes writes
	LeaderStore string       `json:"leader_store,omitempty"` // the store that Applied counts in; kept after a promotion
	Applied     int64        `json:"applied,omitempty"`      // newest revision of LeaderStore that is applied here
	Digest      string       `json:"digest,omitempty"`       // of the State at Revision
	Counts      map[Kind]int `json:"counts,omitempty"`
	Listen      string       `json:"listen,omitempty"`    // base URL of the data plane in this process: http://host:port
	Following   *bool        `json:"following,omitempty"` // data planes that have a control plane: do they hear from it?
	Backup      *Backup      `json:"backup,omitempty"`    // what it serves from, in ModeBackup
}

// Backup is what a gateway that serves from a backup says of that.
type Backup struct {
	Lineage    string         `json:"lineage"`
	Point      string         `json:"point"`
	Revision   int64          `json:"revision"`
	Time       time.Time      `json:"recovery_point_time"` // UTC: whatever was acknowledged by then is served
	AgeS       float64        `json:"age_s"`               // of that
	Provenance map[string]int `json:"provenance"`          // objects loaded, by location
	Looked     time.Time      `json:"looked"`              // UTC: when the locations were last asked for newer ones
	Findings   []string       `json:"findings"`            // what was passed over, at which location, and why
	Promotion  string         `json:"promotion,omitempty"` // under way, or why it failed
}

// Condition says what must hold for a write to happen. The zero value always holds.
type Condition struct {
	Revision int64         // the entity was last changed at this revision; 0: any
	Absent   bool          // the entity is not there
	Refs     []Ref         // these entities are there
	Seen     map[Ref]int64 // these entities were last changed at these revisions; 0: they are not there
	Base     int64         // no entity at all was changed after this revision; 0: any
}

// Bulk says how a list of changes is applied.
type Bulk struct {
	Base    int64 // no entity was changed after this revision; 0: any
	Restore bool  // the changes bring a backup back: this ends ModeBlank
}

// Item is an entity with the revision of its last change.
type Item struct {
	Entity
	Revision int64
}

// ErrCompacted is wrapped by errors that say the changes after a revision are no longer known: read the State anew.
var ErrCompacted = errors.New("revision is no longer known")

// ErrMissing is wrapped by errors that say an entity refers to one that is not there.
var ErrMissing = errors.New("referenced entity not found")
