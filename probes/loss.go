package probes

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// LossClass says what became of a change.
type LossClass string

// The classes, the worst first. Recovered is no loss.
const (
	Resurrected LossClass = "resurrected" // acknowledged revocation that is undone: a security failure
	Lost        LossClass = "lost"        // acknowledged, and its object is absent
	Corrupt     LossClass = "corrupt"     // acknowledged, and its object is something that nobody wrote there
	Stale       LossClass = "stale"       // acknowledged, and its object is an older version; also if it was to be deleted
	Phantom     LossClass = "phantom"     // there, though rejected or never sent
	Duplicate   LossClass = "duplicate"   // its object is listed twice
	Recovered   LossClass = "recovered"   // indeterminate, and there
)

// LossItem is one change that did not fare as acknowledged, in one region.
type LossItem struct {
	Class  LossClass     `json:"class"`
	Region string        `json:"region"`
	Seq    int64         `json:"seq"` // of the change; 0 if none of the ledger is meant
	Kind   ChangeKind    `json:"kind"`
	ID     string        `json:"id"`
	Got    int64         `json:"got"`               // version that was there; 0 absent
	Done   time.Duration `json:"done_ns,omitempty"` // when it was acknowledged, since t0
	Object bool          `json:"object,omitempty"`  // seen at the object's own address, not in the list
	Data   bool          `json:"data,omitempty"`    // seen at the data plane
	Hole   bool          `json:"hole,omitempty"`    // a change survived that was sent later, before the fault
}

// Loss is what a ledger and its read-back say. A change counts once in each number, by its worst class in any region.
type Loss struct {
	Acked         int `json:"acked"`
	Rejected      int `json:"rejected"`
	Indeterminate int `json:"indeterminate"`
	Checked       int `json:"checked"` // acknowledged changes that were read back in every region observed
	Unread        int `json:"unread"`  // acknowledged changes that were not
	Unseen        int `json:"unseen"`  // Checked of objects that were made and deleted: gone either way, they show nothing
	Revoked       int `json:"revoked"` // acknowledged revocations among Checked

	Lost        int `json:"lost"`
	Stale       int `json:"stale"`
	Resurrected int `json:"resurrected"`
	Corrupt     int `json:"corrupt"`
	Phantom     int `json:"phantom"`
	Duplicate   int `json:"duplicate"`
	Recovered   int `json:"recovered"`
	Holes       int `json:"holes"`

	ByKind   map[ChangeKind]int           `json:"by_kind"` // lost + stale + resurrected + corrupt; every kind in the ledger
	ByRegion map[string]map[LossClass]int `json:"by_region"`
	Items    []LossItem                   `json:"items,omitempty"` // by region and Seq

	RPA  RPA   `json:"rpa"`
	Fork *Fork `json:"fork,omitempty"`

	// Statement is for people; it never says a bare "RPO 0".
	Statement string `json:"statement"`
}

// RPA is the achieved recovery point, as a time before the injection: 0 if nothing acknowledged was lost. The truth, if
// what survived is the state at one instant, lies in [Low, High].
type RPA struct {
	Low   time.Duration `json:"low_ns"`   // injection - acknowledgement of the oldest change lost
	Point time.Duration `json:"point_ns"` // injection - recovery point P
	High  time.Duration `json:"high_ns"`  // injection - sending of the newest change that survived before it
	// Open says that no change is known to have survived before the oldest one lost. Then Point and High only reach back to
	// t0, and the truth may be greater: the ledger has no bound for it.
	Open bool `json:"open,omitempty"`
}

// Fork is the time after the injection in which a stale leader acknowledged changes that did not survive.
type Fork struct {
	First time.Duration `json:"first_ns"` // acknowledgement of the first of them, since t0
	Last  time.Duration `json:"last_ns"`
	Count int           `json:"count"`
}

// EstimateLoss compares what was acknowledged with what the regions showed after the recovery. entries are intents and
// results in any order; a change without a result is indeterminate. inject is the instant before the first injector call.
func EstimateLoss(entries []Entry, observations []Observation, inject time.Duration) Loss {
	changes := merge(entries)
	r := readBack(histories(changes), observations)
	l := Loss{ByKind: map[ChangeKind]int{}, ByRegion: map[string]map[LossClass]int{}, Items: r.items}
	l.countResults(changes, r)
	var gone, kept []Entry
	for _, e := range changes {
		switch class := r.worst[e.subject()]; {
		case e.Result == Acked && class.isLoss():
			gone = append(gone, e)
		case e.Result == Acked && r.evident(e):
			kept = append(kept, e)
		}
	}
	l.RPA = recoveryPoint(gone, kept, inject)
	l.Fork = fork(gone, inject)
	l.markHoles(gone, kept, inject)
	l.countClasses(r)
	l.Statement = l.statement()
	return l
}

// Shown is how many acknowledged changes show whether they survived: the n of "0 of n".
func (l *Loss) Shown() int { return l.Checked - l.Unseen }

// WithUnseen returns the loss with those that show nothing in the n, as builds counted that knew no better.
func (l Loss) WithUnseen() Loss {
	l.Unseen = 0
	l.Statement = l.statement()
	return l
}

func (c LossClass) isLoss() bool { return c == Resurrected || c == Lost || c == Corrupt || c == Stale }

// merge returns one entry for each change, by Seq.
func merge(entries []Entry) []Entry {
	bySeq := map[int64]Entry{}
	for _, e := range entries {
		if have, ok := bySeq[e.Change.Seq]; !ok || have.Result == "" {
			bySeq[e.Change.Seq] = e
		}
	}
	all := slices.SortedFunc(maps.Values(bySeq), func(a, b Entry) int { return cmp.Compare(a.Change.Seq, b.Change.Seq) })
	for i := range all {
		if all[i].Result == "" {
			all[i].Result = Indeterminate
		}
	}
	return all
}

func (l *Loss) countResults(changes []Entry, r *reading) {
	for _, e := range changes {
		l.ByKind[e.Change.Kind] += 0
		switch e.Result {
		case Rejected:
			l.Rejected++
		case Indeterminate:
			l.Indeterminate++
		case Acked:
			l.Acked++
			if r.read(e) {
				l.Checked++
				if !r.worst[e.subject()].isLoss() && !r.evident(e) {
					l.Unseen++
				}
				if e.Change.Kind == RevokeChange {
					l.Revoked++
				}
			} else {
				l.Unread++
			}
		}
	}
}

func (l *Loss) countClasses(r *reading) {
	for _, region := range r.regions {
		l.ByRegion[region] = map[LossClass]int{}
	}
	counted := map[subject]bool{}
	for _, item := range l.Items {
		l.ByRegion[item.Region][item.Class]++
		if counted[item.subject()] || r.worst[item.subject()] != item.Class {
			continue
		}
		counted[item.subject()] = true
		*l.counter(item.Class)++
		if item.Class.isLoss() {
			l.ByKind[item.Kind]++
		}
		if item.Hole {
			l.Holes++
		}
	}
}

func (l *Loss) counter(c LossClass) *int {
	return map[LossClass]*int{
		Resurrected: &l.Resurrected, Lost: &l.Lost, Corrupt: &l.Corrupt, Stale: &l.Stale, Phantom: &l.Phantom,
		Duplicate: &l.Duplicate, Recovered: &l.Recovered,
	}[c]
}

// recoveryPoint brackets how far before inject the state lies that survived.
func recoveryPoint(gone, kept []Entry, inject time.Duration) RPA {
	if len(gone) == 0 {
		return RPA{}
	}
	oldest := slices.MinFunc(gone, func(a, b Entry) int { return cmp.Compare(a.Done, b.Done) }).Done
	var sent, acked time.Duration
	open := true
	for _, e := range kept {
		if e.Done < oldest {
			open = false
			sent, acked = max(sent, e.Sent), max(acked, e.Done)
		}
	}
	return RPA{
		Low: max(0, inject-oldest), Point: max(0, inject-acked), High: max(0, inject-sent), Open: open,
	}
}

func fork(gone []Entry, inject time.Duration) *Fork {
	var f *Fork
	for _, e := range gone {
		switch {
		case e.Done <= inject:
		case f == nil:
			f = &Fork{First: e.Done, Last: e.Done, Count: 1}
		default:
			f.First, f.Last = min(f.First, e.Done), max(f.Last, e.Done)
			f.Count++
		}
	}
	return f
}

// markHoles finds lost changes that were acknowledged before another one was sent which survived, both before the fault.
// Revocations are no others: a restore gathers them from wherever they are known, beyond the state that it brings back.
func (l *Loss) markHoles(gone, kept []Entry, inject time.Duration) {
	var newest time.Duration
	for _, e := range kept {
		if e.Done <= inject && e.Change.Kind != RevokeChange {
			newest = max(newest, e.Sent)
		}
	}
	holes := map[int64]bool{}
	for _, e := range gone {
		holes[e.Change.Seq] = e.Done < newest
	}
	for i := range l.Items {
		l.Items[i].Hole = holes[l.Items[i].Seq] && l.Items[i].Class.isLoss()
	}
}

func (l *Loss) statement() string {
	var b strings.Builder
	gone := l.Lost + l.Stale + l.Resurrected + l.Corrupt
	switch n := l.Shown(); {
	case n == 0 && gone == 0:
		b.WriteString("no acknowledged change was read back: loss is not known")
	case gone == 0:
		fmt.Fprintf(&b, "0 of %d acknowledged changes lost (loss fraction < 3/%[1]d = %.2g%% at 95 %%)", n, 300/float64(n))
	default:
		fmt.Fprintf(&b, "%d of %d acknowledged changes lost (%d absent, %d stale, %d resurrected, %d corrupt)",
			gone, n, l.Lost, l.Stale, l.Resurrected, l.Corrupt)
	}
	if l.Unseen > 0 {
		fmt.Fprintf(&b, "; %d more made and deleted again, which leaves nothing to see", l.Unseen)
	}
	if l.Unread > 0 {
		fmt.Fprintf(&b, "; %d could not be read back", l.Unread)
	}
	return b.String()
}
