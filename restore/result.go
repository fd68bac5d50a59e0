package restore

import (
	"fmt"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
)

// ResultSchema is the schema of a Result's JSON.
const ResultSchema = "gwdr/restore/v1"

// Result is what came of a restore.
type Result struct {
	Schema     string            `json:"schema"`
	Lineage    string            `json:"lineage"` // of the point
	Parent     string            `json:"parent"`  // lineage@revision: what the backups that follow descend from
	Point      string            `json:"point"`
	Revision   int64             `json:"recovered_revision"`
	Time       time.Time         `json:"recovery_point_time"`
	Provenance map[string]int    `json:"provenance"` // entities and changes loaded, by location
	Objects    backup.Provenance `json:"objects"`    // packs and segments loaded, and where each came from
	Gaps       []backup.TailGap  `json:"gaps"`       // in the log, that were crossed

	Created   int `json:"created"`
	Updated   int `json:"updated"`
	Deleted   int `json:"deleted"`
	Unchanged int `json:"unchanged"`
	Revoked   int `json:"revocations_applied"`

	Doubt *Doubt `json:"doubt,omitempty"` // of keys; absent: there is none

	Expected string  `json:"digest_expected"`
	Actual   string  `json:"digest_actual"` // of the target, read back; empty if it could not be read
	Verified bool    `json:"verified"`      // digests are equal, and the data plane serves if it was probed
	Duration float64 `json:"duration_s"`    // planning and applying, without the wait for a decision

	Phases     []Phase     `json:"phases"`               // of reading and applying, as far as it came
	Undo       string      `json:"undo,omitempty"`       // point of what the gateway had before
	Store      string      `json:"store"`                // id of the target's store afterwards
	DataPlane  []Check     `json:"data_plane"`           // empty if it was not probed
	Findings   []Finding   `json:"findings"`             // of the plan, and what came up since
	Incomplete *Incomplete `json:"incomplete,omitempty"` // the restore failed, and changed this
}

// Incomplete is what a failed restore changed.
type Incomplete struct {
	Made     []Step `json:"made"`      // in order
	Of       int    `json:"of"`        // changes planned
	ReadBack bool   `json:"read_back"` // seen in the target after the failure; otherwise by the target's answers alone
}

// String says what was changed, in one line.
func (n Incomplete) String() string {
	source := "as read back from the gateway"
	if !n.ReadBack {
		source = "by the gateway's last answer: it can no longer be read"
	}
	if len(n.Made) == 0 {
		return fmt.Sprintf("nothing was changed, %s", source)
	}
	last := n.Made[len(n.Made)-1]
	return fmt.Sprintf("%d of %d changes were made, the last was %s of %s, %s", len(n.Made), n.Of, last.Op, last.Ref, source)
}

// changes is a number of changes, in words.
func changes(n int) string {
	if n == 1 {
		return "1 change"
	}
	return fmt.Sprintf("%d changes", n)
}

func newResult(p *Plan) *Result {
	return &Result{Schema: ResultSchema, Lineage: p.Lineage, Parent: fmt.Sprintf("%s@%d", p.Lineage, p.Revision), Point: p.Point,
		Revision: p.Revision, Time: p.Time, Provenance: p.Provenance, Objects: p.Objects, Gaps: p.Gaps, Unchanged: p.Total.Unchanged, Revoked: p.Revoked, Doubt: p.Doubt,
		Expected: p.Expected, DataPlane: []Check{}, Findings: p.Findings}
}

// fail takes note of what a restore changed that failed, and returns the error that says so.
func (res *Result) fail(p *Plan, n *Incomplete, err error) error {
	res.Incomplete = n
	res.tally(n.Made, p.Total)
	return fmt.Errorf("%w; %s", err, n)
}

// tally counts the changes that were made; those that were not left their entities unchanged, or there.
func (res *Result) tally(made []Step, planned Counts) {
	for _, s := range made {
		switch s.Op {
		case gateway.Create:
			res.Created++
		case gateway.Update:
			res.Updated++
		case gateway.Delete:
			res.Deleted++
		}
	}
	res.Unchanged = planned.Unchanged + planned.Update - res.Updated + planned.Delete - res.Deleted
}
