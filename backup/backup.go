// Package backup keeps snapshots of a gateway's configuration at several locations: identical bytes everywhere,
// encrypted once, signed, create-only. docs/snapshot-format.md describes what lies at a location.
package backup

import (
	"context"
	"errors"
	"io"
	"time"

	"filippo.io/age"

	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

// Location keeps objects under names with slashes. Objects are never rewritten or deleted through it. Methods are safe
// for concurrent use.
type Location interface {
	// Put stores size bytes of body under name, durably, if nothing is there. If an object is there already, Put is
	// done when its bytes are the same, and otherwise fails with an error that wraps ErrExists.
	Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error
	// Get opens the object. The error wraps ErrNotExist if it is not there.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	// List returns the objects whose names start with prefix, by name.
	List(ctx context.Context, prefix string) ([]Object, error)
}

// Prober is a Location that can show by test what it promises.
type Prober interface {
	// Probe tests the location: create-only puts, and whether the writer's credentials can overwrite or delete.
	Probe(ctx context.Context) (Capabilities, error)
	// Fault domain: locations with the same Domain fail together (a device, an endpoint and account).
	Domain(ctx context.Context) (string, error)
}

// Capabilities is what Probe saw.
type Capabilities struct {
	CreateOnly bool   `json:"create_only"` // a second put under the same name is refused
	Immutable  bool   `json:"immutable"`   // the writer can neither overwrite nor delete
	Tests      []Test `json:"tests"`       // what was tried, in this order
}

// Test is one thing that Probe tried to do, and should not have been able to.
type Test struct {
	What   string `json:"test"`             // overwrite, delete, delete-version, lock
	Denied bool   `json:"denied"`           // the store did not let it happen; of lock: there is one
	Detail string `json:"detail,omitempty"` // in words, such as the lock's mode and length
}

// Remover is a Location that can delete. Only prune and repair use it, with credentials that no writer has.
type Remover interface {
	// Remove deletes the object for good, in all its versions. It is done if nothing is there, and fails with the
	// store's own reason if the object is protected.
	Remove(ctx context.Context, name string) error
}

// Quarantiner is a Location that can move a damaged object out of the way, so that its name can be put again.
type Quarantiner interface {
	// Quarantine moves what is stored under name to a name outside of gwdr1/, which it returns. List does not show it
	// there, and Get gives ErrNotExist for the old name.
	Quarantine(ctx context.Context, name string) (to string, err error)
}

// Historian is a Location that may keep what was overwritten or deleted.
type Historian interface {
	// Originals returns a view of the location in which every object is what was put there first; ok is false if nothing is
	// kept that the location itself does not show.
	Originals(ctx context.Context) (view Location, ok bool)
}

// Renewer is a Location whose protection of an object runs out.
type Renewer interface {
	// Renew makes sure that the object, which a new point uses again, stays protected about as long as one put now.
	Renew(ctx context.Context, name string) error
}

// Object is one stored object.
type Object struct {
	Name    string
	Size    int64
	Created time.Time // by the store's clock
}

// ErrExists is wrapped when other bytes are stored under the name.
var ErrExists = errors.New("other bytes are stored under this name")

// ErrNotExist is wrapped when nothing is stored under the name.
var ErrNotExist = errors.New("no such object")

// ErrIntegrity is wrapped when something stored is not what was signed: a bad signature or digest, or bytes that cannot
// be decrypted.
var ErrIntegrity = errors.New("integrity check failed")

// Copy is a Location with what the configuration says of it.
type Copy struct {
	Name     string // as in gwdr.yaml
	URL      string // without credentials
	Media    string // disk, nas, object, ...
	Site     string
	Location Location

	hearing *hearing // of the reading that is going on; nil: none
}

// id names the copy in the spool, as long as it is the same place.
func (c Copy) id() string { return hexSum(c.Name + " " + c.URL)[:16] }

// Keys is what seals and opens snapshots. A writer has no Identities; a reader needs no Signer.
type Keys struct {
	Recipients   []age.Recipient
	RecipientIDs []string // the public recipients, age1..., in the same order
	Identities   []age.Identity
	IdentityFile string // that Identities were read from, for messages
	Signer       *sshsig.Signer
	Trusted      sshsig.Trusted
}

// Policy is the 3-2-1 rule that a set of copies must meet.
type Policy struct {
	Site      string        // where the gateway is: other sites are off-site
	Copies    int           // distinct copies
	Media     int           // distinct kinds of storage
	Offsite   int           // copies at other sites
	Immutable int           // copies that the writer cannot alter or delete
	MaxAge    time.Duration // of the newest point; 0 is no bound
	MaxScrub  time.Duration // since each copy was last read back whole, for CheckStatus; 0 is no bound
	Simulated bool          // a lab: copies that share a device count as declared, with a note that says so
}

// Point is a committed snapshot: the content of point.json. It holds what its packs hold, with the changes of the log's
// segments after Base, up to Log, laid over.
type Point struct {
	Schema      string               `json:"schema"` // gwdr/point/v1
	Lineage     string               `json:"lineage"`
	Parent      string               `json:"parent,omitempty"` // lineage@revision that a restore came from
	Store       string               `json:"store"`            // id of the gateway's store
	Revision    int64                `json:"revision"`
	Time        time.Time            `json:"consistency_time"`   // UTC of the consistency point
	Previous    string               `json:"previous,omitempty"` // sha256 of the previous point's point.json
	Log         Position             `json:"log"`                // where in the lineage's log the point stands
	Base        Base                 `json:"base"`
	Packs       []Pack               `json:"packs"`
	Digest      string               `json:"state_digest"`
	Counts      map[gateway.Kind]int `json:"counts"`
	Unreachable []gateway.Kind       `json:"unreachable"`
	Recipients  []string             `json:"recipients"`
	Tool        string               `json:"tool"`
	Undo        bool                 `json:"undo,omitempty"` // taken of what a restore was about to overwrite: wanted only by who names it
}

// Position is a place in a lineage's log.
type Position struct {
	Seq    int64  `json:"seq"`    // number of the newest segment, from 1
	SHA256 string `json:"sha256"` // of its seg.json, which names the one before, and so pins all of them
}

// Base is what the packs of a point show: an earlier state, unless Seq is the point's own.
type Base struct {
	Seq      int64     `json:"seq"` // of the segment at which it stood
	Revision int64     `json:"revision"`
	Time     time.Time `json:"consistency_time"`
}

// Pack is one encrypted object of a Point.
type Pack struct {
	SHA256 string   `json:"sha256"` // of the ciphertext; names the object
	Size   int64    `json:"size"`
	Raw    int64    `json:"raw_size"`     // of the tar inside, in bytes
	Count  int      `json:"count"`        // entities
	Digest string   `json:"state_digest"` // of the entities in it, as a Point's
	First  string   `json:"first"`        // hex SHA-256 of the first record's name
	Last   string   `json:"last"`         // hex SHA-256 of the last record's name
	Blocks []string `json:"blocks"`       // sha256 of each MiB of the ciphertext
}

// Found is a verified Point, and where it was found.
type Found struct {
	Point
	Name   string   // of the point object: points/<utc>-<rev>-<sha8>, without the ending
	SHA256 string   // of point.json
	Copies []string // names of the copies that hold it
}

// Problem is something that a copy holds, or lacks, and should not.
type Problem struct {
	Copy   string `json:"location"`
	Object string `json:"object,omitempty"`
	Err    error  `json:"-"`
	Text   string `json:"problem"`
	// Whole names the other copies that have the object as it was signed; only Verify knows.
	Whole []string `json:"whole_at,omitempty"`
}
