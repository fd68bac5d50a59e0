package probes

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// entry is a change of the ledger in tests: number seq is sent at seq × 100 ms and done 10 ms later.
func entry(seq int64, kind ChangeKind, id string, r Result) Entry {
	sent := time.Duration(seq) * 100 * ms
	return Entry{Change: Change{Seq: seq, Kind: kind, ID: id}, Due: sent, Sent: sent, Done: sent + 10*ms, Result: r}
}

func deletion(seq int64, kind ChangeKind, id string, r Result) Entry {
	e := entry(seq, kind, id, r)
	e.Change.Delete = true
	return e
}

// route is an observation of a route that both planes show in one version.
func route(id string, version int64) Observation {
	return Observation{Region: "west", Kind: RouteChange, ID: id, Version: version, Data: version}
}

// fates returns "class kind seq" of every item.
func fatesOf(l Loss) []string {
	var all []string
	for _, i := range l.Items {
		s := strings.Join([]string{string(i.Class), string(i.Kind), i.ID}, " ")
		if i.Seq == 0 {
			s += " by nobody"
		}
		all = append(all, s)
	}
	return all
}

func TestFatesOfRoutes(t *testing.T) {
	created := entry(1, RouteChange, "a", Acked)
	updated := entry(2, RouteChange, "a", Acked)
	for name, c := range map[string]struct {
		entries []Entry
		seen    Observation
		want    []string
	}{
		"there":                        {[]Entry{created, updated}, route("a", 2), nil},
		"lost":                         {[]Entry{created}, route("a", 0), []string{"lost route a"}},
		"two changes lost with it":     {[]Entry{created, updated}, route("a", 0), []string{"lost route a", "lost route a"}},
		"stale":                        {[]Entry{created, updated}, route("a", 1), []string{"stale route a"}},
		"deleted":                      {[]Entry{created, deletion(2, RouteChange, "a", Acked)}, route("a", 0), nil},
		"delete undone":                {[]Entry{created, deletion(2, RouteChange, "a", Acked)}, route("a", 1), []string{"stale route a"}},
		"rejected and absent":          {[]Entry{entry(1, RouteChange, "a", Rejected)}, route("a", 0), nil},
		"phantom":                      {[]Entry{entry(1, RouteChange, "a", Rejected)}, route("a", 1), []string{"phantom route a"}},
		"never sent":                   {nil, route("b", 7), []string{"phantom route b by nobody"}},
		"version of nobody":            {[]Entry{created}, route("a", 99), []string{"corrupt route a"}},
		"version of a rejected update": {[]Entry{created, entry(2, RouteChange, "a", Rejected)}, route("a", 2), []string{"corrupt route a", "phantom route a"}},
		"version of a delete":          {[]Entry{created, deletion(2, RouteChange, "a", Acked)}, route("a", 2), []string{"corrupt route a"}},
		"indeterminate and absent":     {[]Entry{entry(1, RouteChange, "a", Indeterminate)}, route("a", 0), nil},
		"indeterminate and there":      {[]Entry{entry(1, RouteChange, "a", Indeterminate)}, route("a", 1), []string{"recovered route a"}},
		"no result is indeterminate":   {[]Entry{entry(1, RouteChange, "a", "")}, route("a", 1), []string{"recovered route a"}},
		"before an indeterminate one":  {[]Entry{created, entry(9, RouteChange, "a", Indeterminate)}, route("a", 1), nil},
		"after an indeterminate one":   {[]Entry{created, entry(9, RouteChange, "a", Indeterminate)}, route("a", 9), []string{"recovered route a"}},
		"an indeterminate delete undone is fine": {
			[]Entry{created, deletion(2, RouteChange, "a", Indeterminate)}, route("a", 1), nil},
		"an indeterminate delete done is fine": {
			[]Entry{created, deletion(2, RouteChange, "a", Indeterminate)}, route("a", 0), []string{"recovered route a"}},
		"a rejected delete does not explain absence": {
			[]Entry{created, deletion(2, RouteChange, "a", Rejected)}, route("a", 0), []string{"lost route a"}},
		"the data plane is behind": {[]Entry{created, updated},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Version: 2, Data: 1}, []string{"stale route a"}},
		"the data plane was not asked": {[]Entry{created},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Version: 1, Data: -1}, nil},
		"the worse of both planes counts": {[]Entry{created, updated},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Version: 1, Data: 0}, []string{"lost route a", "lost route a"}},
		"its own address is behind": {[]Entry{created, updated},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Version: 2, Object: new(int64(1)), Data: 2}, []string{"stale route a"}},
		"listed, and gone at its own address": {[]Entry{created},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Version: 1, Object: new(int64(0)), Data: 1}, []string{"lost route a"}},
		"deleted, and there at its own address": {[]Entry{created, deletion(2, RouteChange, "a", Acked)},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Object: new(int64(1))}, []string{"stale route a"}},
		"all three agree": {[]Entry{created},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Version: 1, Object: new(int64(1)), Data: 1}, nil},
		"could not be read": {[]Entry{created},
			Observation{Region: "west", Kind: RouteChange, ID: "a", Error: "timeout"}, nil},
	} {
		l := EstimateLoss(c.entries, []Observation{c.seen}, time.Second)
		if diff := cmp.Diff(c.want, fatesOf(l)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFatesOfKeys(t *testing.T) {
	issued, revoked := entry(1, KeyChange, "k", Acked), entry(2, RevokeChange, "k", Acked)
	seen := func(version int64, revoked, refused bool) Observation {
		return Observation{Region: "west", Kind: KeyChange, ID: "k", Version: version, Data: version, Revoked: revoked, Refused: refused}
	}
	notAsked := func(o Observation) Observation {
		o.Data = -1
		return o
	}
	for name, c := range map[string]struct {
		entries []Entry
		seen    Observation
		want    []string
	}{
		"works":                       {[]Entry{issued}, seen(1, false, false), nil},
		"lost":                        {[]Entry{issued}, seen(0, false, true), []string{"lost key k"}},
		"refused by the data plane":   {[]Entry{issued}, seen(1, false, true), []string{"lost key k"}},
		"data plane not asked":        {[]Entry{issued}, notAsked(seen(1, false, false)), nil},
		"revoked":                     {[]Entry{issued, revoked}, seen(1, true, true), nil},
		"revoked by taking it away":   {[]Entry{issued, revoked}, seen(0, true, true), nil},
		"revoked, and it works again": {[]Entry{issued, revoked}, seen(1, false, false), []string{"resurrected revoke k"}},
		"revoked, and it works at the data plane": {[]Entry{issued, revoked}, seen(1, true, false), []string{"resurrected revoke k"}},
		"revoked, and only the data plane remembers": {
			[]Entry{issued, revoked}, seen(1, false, true), []string{"resurrected revoke k"}},
		"revoked, and nobody was asked": {
			[]Entry{issued, revoked}, notAsked(seen(1, false, false)), []string{"resurrected revoke k"}},
		"key and revocation lost":         {[]Entry{issued, revoked}, seen(0, false, true), []string{"lost key k", "lost revoke k"}},
		"an indeterminate revoke, done":   {[]Entry{issued, entry(2, RevokeChange, "k", Indeterminate)}, seen(1, true, true), []string{"recovered revoke k"}},
		"an indeterminate revoke, undone": {[]Entry{issued, entry(2, RevokeChange, "k", Indeterminate)}, seen(1, false, false), nil},
		"a rejected revoke, done": {[]Entry{issued, entry(2, RevokeChange, "k", Rejected)}, seen(1, true, true),
			[]string{"lost key k", "phantom revoke k"}},
		"revoked by nobody": {[]Entry{issued}, seen(1, true, true), []string{"phantom revoke k by nobody", "lost key k"}},
	} {
		l := EstimateLoss(c.entries, []Observation{c.seen}, time.Second)
		if diff := cmp.Diff(c.want, fatesOf(l)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestIntentAndResultAreOneChange(t *testing.T) {
	intent, result := entry(1, RouteChange, "a", ""), entry(1, RouteChange, "a", Acked)
	for _, order := range [][]Entry{{intent, result}, {result, intent}} {
		if l := EstimateLoss(order, []Observation{route("a", 1)}, 0); l.Acked != 1 || l.Indeterminate != 0 {
			t.Errorf("%d acked, %d indeterminate, want 1 acked", l.Acked, l.Indeterminate)
		}
	}
}

// ledger makes n acked creations of routes, named by their numbers from 1; number i was acknowledged at i × 100 + 10 ms.
func ledger(n int) (entries []Entry, intact []Observation) {
	for i := range int64(n) {
		id := string(rune('a' + i))
		entries = append(entries, entry(i+1, RouteChange, id, Acked))
		intact = append(intact, route(id, i+1))
	}
	return entries, intact
}

func TestRecoveryPoint(t *testing.T) {
	const inject = 1050 * ms
	for name, c := range map[string]struct {
		gone  []int
		want  RPA
		holes int
		fork  *Fork
	}{
		"nothing lost":          {nil, RPA{}, 0, nil},
		"the newest lost":       {[]int{10}, RPA{Low: 40 * ms, Point: 140 * ms, High: 150 * ms}, 0, nil},
		"three lost":            {[]int{8, 9, 10}, RPA{Low: 240 * ms, Point: 340 * ms, High: 350 * ms}, 0, nil},
		"a hole":                {[]int{8}, RPA{Low: 240 * ms, Point: 340 * ms, High: 350 * ms}, 1, nil},
		"a hole and the newest": {[]int{5, 10}, RPA{Low: 540 * ms, Point: 640 * ms, High: 650 * ms}, 1, nil},
		"all lost before the fault": {[]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10},
			RPA{Low: 940 * ms, Point: 1050 * ms, High: 1050 * ms, Open: true}, 0, nil},
		"what a stale leader acknowledged": {[]int{11, 12}, RPA{Low: 0, Point: 40 * ms, High: 50 * ms}, 0,
			&Fork{First: 1110 * ms, Last: 1210 * ms, Count: 2}},
	} {
		entries, seen := ledger(14)
		for _, n := range c.gone {
			seen[n-1].Version, seen[n-1].Data = 0, 0
		}
		l := EstimateLoss(entries, seen, inject)
		if diff := cmp.Diff(c.want, l.RPA); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if l.Lost != len(c.gone) || l.Holes != c.holes || !cmp.Equal(c.fork, l.Fork) {
			t.Errorf("%s: %d lost, %d holes, fork %+v", name, l.Lost, l.Holes, l.Fork)
		}
	}
}

func TestAnAbsentObjectShowsNoRecoveryPoint(t *testing.T) {
	entries := []Entry{
		entry(1, RouteChange, "a", Acked), entry(2, RouteChange, "b", Acked),
		deletion(3, RouteChange, "b", Acked), entry(4, RouteChange, "c", Acked),
	}
	l := EstimateLoss(entries, []Observation{route("a", 1), route("b", 0), route("c", 0)}, time.Second)
	want := RPA{Low: 590 * ms, Point: 890 * ms, High: 900 * ms} // from a: that b is gone may be by never having been there
	if diff := cmp.Diff(want, l.RPA); diff != "" {
		t.Error(diff)
	}
}

func TestLossByRegionAndKind(t *testing.T) {
	entries, east := ledger(3)
	entries = append(entries, entry(4, KeyChange, "k", Acked), entry(5, RevokeChange, "k", Acked))
	key := Observation{Region: "west", Kind: KeyChange, ID: "k", Version: 4, Data: 4, Revoked: true, Refused: true}
	_, west := ledger(3)
	west[1].Version, west[1].Data = 0, 0 // b is lost in the west only
	all := append(west, key)
	for _, o := range append(east, key) {
		o.Region = "east"
		if o.Kind == KeyChange {
			o.Revoked, o.Refused = false, false // and k works again in the east only
		}
		all = append(all, o)
	}
	l := EstimateLoss(entries, all, time.Second)
	if diff := cmp.Diff(map[string]map[LossClass]int{"west": {Lost: 1}, "east": {Resurrected: 1}}, l.ByRegion); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[ChangeKind]int{RouteChange: 1, KeyChange: 0, RevokeChange: 1}, l.ByKind); diff != "" {
		t.Error(diff)
	}
	if l.Lost != 1 || l.Resurrected != 1 || l.Checked != 5 {
		t.Errorf("%d lost, %d resurrected of %d", l.Lost, l.Resurrected, l.Checked)
	}
}

func TestAChangeLostInTwoRegionsCountsOnce(t *testing.T) {
	west := route("a", 0)
	east := west
	east.Region = "east"
	if l := EstimateLoss([]Entry{entry(1, RouteChange, "a", Acked)}, []Observation{west, east}, 0); l.Lost != 1 || len(l.Items) != 2 {
		t.Errorf("%d lost in %d places, want 1 in 2", l.Lost, len(l.Items))
	}
}

func TestDuplicates(t *testing.T) {
	entries, seen := ledger(1)
	l := EstimateLoss(entries, append(seen, seen...), 0)
	if l.Duplicate != 1 || l.Lost != 0 {
		t.Errorf("%d duplicates, %d lost; want 1, 0", l.Duplicate, l.Lost)
	}
}

// TestACopyIsNoLoss: the object is what is listed under its own name; what bears its mark under another one is there twice, in
// whatever version, and shows nothing of what was acknowledged.
func TestACopyIsNoLoss(t *testing.T) {
	entries := []Entry{entry(1, RouteChange, "a", Acked), entry(2, RouteChange, "a", Acked)}
	copied := route("a", 1)
	copied.Data = -1
	for own, want := range map[int64]Loss{2: {Duplicate: 1}, 1: {Duplicate: 1, Stale: 1}, 0: {Duplicate: 1, Lost: 2}} {
		l := EstimateLoss(entries, []Observation{route("a", own), copied}, time.Second)
		if l.Duplicate != want.Duplicate || l.Stale != want.Stale || l.Lost != want.Lost {
			t.Errorf("own version %d: %+v", own, l)
		}
	}
}

func TestStatement(t *testing.T) {
	entries, seen := ledger(20)
	broken := append([]Observation(nil), seen...)
	broken[3].Version, broken[3].Data = 0, 0
	unread := append([]Observation(nil), seen...)
	unread[5].Error = "timeout"
	for want, observations := range map[string][]Observation{
		"0 of 20 acknowledged changes lost (loss fraction < 3/20 = 15% at 95 %)":                           seen,
		"1 of 20 acknowledged changes lost (1 absent, 0 stale, 0 resurrected, 0 corrupt)":                  broken,
		"0 of 19 acknowledged changes lost (loss fraction < 3/19 = 16% at 95 %); 1 could not be read back": unread,
		"0 of 15 acknowledged changes lost (loss fraction < 3/15 = 20% at 95 %); 5 could not be read back": seen[:15],
		"no acknowledged change was read back: loss is not known; 20 could not be read back":               nil,
	} {
		if diff := cmp.Diff(want, EstimateLoss(entries, observations, time.Second).Statement); diff != "" {
			t.Error(diff)
		}
	}
}
