package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"

	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

// Status says how safe a gateway's backups are, as seen from here and now; its JSON is the contract gwdr/status/v1. What is
// not known is null.
type Status struct {
	Schema    string           `json:"schema"`
	Time      time.Time        `json:"time"`       // that ages are reckoned from
	Newest    *Restorable      `json:"newest"`     // the newest state that some location gives by itself
	Exposure  *float64         `json:"exposure_s"` // how long ago that was: what would be lost if the gateway died now
	Locations []LocationStatus `json:"locations"`
	Policy    PolicyStatus     `json:"policy"`
	Waiting   Waiting          `json:"waiting"` // in the spool, for whichever location lacks most
	Gateway   *GatewayStatus   `json:"gateway"` // null: nobody asked it
	// Recipients says which identities open Newest's point: of those at hand.
	Recipients []RecipientTest `json:"recipients"`
	Rehearsed  *time.Time      `json:"rehearsed"` // when a rehearsal of a restore passed last, by a valid attestation
	Notes      []string        `json:"notes"`     // what could not be found out

	Point Found `json:"-"` // of Newest
}

// GatewayStatus is how far the gateway itself is ahead of its backups.
type GatewayStatus struct {
	Store    string `json:"store,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	Ahead    *int64 `json:"ahead"` // revisions that no location has; null if that cannot be told
	Note     string `json:"note,omitempty"`
}

// Restorable is a state that can be restored: a point, with the log after it as far as it is unbroken.
type Restorable struct {
	Lineage     string               `json:"lineage"`
	Store       string               `json:"store"`
	Point       string               `json:"point"` // Found.Name
	Segments    int64                `json:"segments"`
	Revision    int64                `json:"revision"`         // with the segments
	Time        time.Time            `json:"consistency_time"` // with the segments
	Entities    map[gateway.Kind]int `json:"entities"`         // of the point
	Unreachable []gateway.Kind       `json:"unreachable"`      // kinds that the gateway would not give
}

// LocationStatus is how one location stands, by itself.
type LocationStatus struct {
	Name       string      `json:"name"`
	Media      string      `json:"media"`
	Site       string      `json:"site"`
	Domain     string      `json:"domain,omitempty"` // locations with the same one fail together
	Reachable  bool        `json:"reachable"`
	Points     int         `json:"points"`       // that lie there, whether they are valid or not
	Newest     string      `json:"newest_point"` // that is valid; empty if there is none
	Age        *float64    `json:"age_s"`        // of its consistency time
	Complete   bool        `json:"complete"`     // all that it needs is there in the right size; Verify reads it
	Restorable *Restorable `json:"restorable"`   // from here alone
	Exposure   *float64    `json:"exposure_s"`   // what would be lost if this were the only location left
	Behind     *float64    `json:"behind_s"`     // the location that has most
	CreateOnly bool        `json:"create_only"`  // tested
	Immutable  bool        `json:"immutable"`    // tested
	Tests      []Test      `json:"tests"`        // how
	Scrubbed   *time.Time  `json:"scrubbed"`     // when it was last read back whole, by a valid attestation
	Waiting    Waiting     `json:"waiting"`      // for it in the spool
	Problems   []Problem   `json:"problems"`
	Notes      []string    `json:"notes"`

	point Found // of Restorable
}

// Waiting is what a location has not got yet of what the spool holds.
type Waiting struct {
	Points   int   `json:"points"`
	Segments int64 `json:"segments"`
}

// PolicyStatus is the 3-2-1-1-0 rule: its last figure counts what is wrong, and what nobody has read back.
type PolicyStatus struct {
	PolicyResult
	Problems   int      `json:"problems"`   // of all locations
	Unverified []string `json:"unverified"` // locations that were not read back whole in time, if the policy wants it
}

// Problems that a location can have besides those of reading it.
var (
	// ErrVanished is wrapped when something is gone that was stored. Prune does not take what is newest.
	ErrVanished = errors.New("it was stored here, and is gone")
	// ErrIncomplete is wrapped when the newest point lacks something.
	ErrIncomplete = errors.New("what the newest point needs is not complete here")
	// ErrLacking is wrapped when others have points that are not here, and nothing in the spool will bring them.
	ErrLacking = errors.New("points are missing here")
	// ErrProbe is wrapped when the test of what a location promises failed: it does not take what is put, perhaps.
	ErrProbe = errors.New("it could not be tested")
	// ErrClock is wrapped when the writer's clock was ahead of ours.
	ErrClock = errors.New("it is of the future: compare the clocks")
)

// StatusOptions say where CheckStatus looks, and for how long. The zero value will do.
type StatusOptions struct {
	Spool    string        // the writer's, if this is its machine
	Gateway  string        // names the gateway in the spool
	Patience time.Duration // how long a location may take for each round of questions: three, or four if the logs differ; 0 means 30s

	// ReadOnly tells of the error of a probe that the credentials are those of a reader, which is a note and no problem. nil:
	// no error does.
	ReadOnly func(error) bool

	// Scrubs says, by the copy's name, how its last verification ended, as attested by a trusted signer; nil: nobody knows.
	Scrubs func(ctx context.Context, copies []Copy, trusted sshsig.Trusted) map[string]Scrub
}

// Scrub is the newest that is attested of a copy.
type Scrub struct {
	Ended  time.Time // of the newest verification
	Passed time.Time // of the newest that found nothing wrong with the copy; zero if there is none
}

// CheckStatus asks all copies at once how they stand: it tests what they promise, reads the newest point of each and the log
// after it, and goes by the listing for the rest. Of packs it reads no more than it takes to test the identities in keys, if
// there are any. It fails with nothing: whatever goes wrong is a problem of its location.
func CheckStatus(ctx context.Context, copies []Copy, keys Keys, policy Policy, options StatusOptions) *Status {
	within := cmp.Or(options.Patience, patience)
	waiting := readWaiting(options.Spool, options.Gateway, copies)
	scrubs := readScrubs(ctx, copies, keys.Trusted, within, options)
	views := viewAll(ctx, copies, keys.Trusted, waiting.newest, within, options.ReadOnly)
	readTails(ctx, views, keys.Trusted, within)
	judgeForks(ctx, views, keys.Trusted, within)
	s := &Status{Schema: "gwdr/status/v1", Time: time.Now().UTC(), Notes: waiting.notes, Locations: []LocationStatus{}}
	crossCheck(views, waiting, s.Time)
	scrubbed := <-scrubs
	for _, v := range views {
		v.checkScrub(scrubbed[v.copy.Name])
		l := v.status(waiting, s.Time)
		if passed := scrubbed[v.copy.Name].Passed; !passed.IsZero() {
			l.Scrubbed = &passed
		}
		s.Locations = append(s.Locations, l)
	}
	s.compare()
	s.judge(copies, policy)
	s.judgeScrubs(views, policy)
	s.Recipients = s.TryIdentities(ctx, copies, keys.Identities, within)
	return s
}

// TryIdentities tests the recipients of the newest point, read from where it lies, with the identities. There is none without
// a point.
func (s *Status) TryIdentities(ctx context.Context, copies []Copy, identities []age.Identity, within time.Duration) []RecipientTest {
	if s.Newest == nil {
		return []RecipientTest{}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, ErrSilent)
	defer cancel()
	here := slices.DeleteFunc(slices.Clone(copies), func(c Copy) bool { return !slices.Contains(s.Point.Copies, c.Name) })
	return TestRecipients(ctx, s.Point, here, identities)
}

// readScrubs asks for the attestations beside all else.
func readScrubs(ctx context.Context, copies []Copy, trusted sshsig.Trusted, within time.Duration, options StatusOptions) <-chan map[string]Scrub {
	scrubs := make(chan map[string]Scrub, 1)
	if options.Scrubs == nil {
		scrubs <- nil
		return scrubs
	}
	go func() {
		ctx, cancel := context.WithTimeoutCause(ctx, within, ErrSilent)
		defer cancel()
		scrubs <- options.Scrubs(ctx, copies, trusted)
	}()
	return scrubs
}

func (v *view) checkScrub(s Scrub) {
	if s.Ended.After(s.Passed) && v.err == nil {
		v.problem("", fmt.Errorf("%w: so said the verification of %s", ErrIntegrity, s.Ended.UTC().Format(time.RFC3339)))
	}
}

// judgeScrubs finds the locations that were not read back whole in time. One that holds nothing so old is not due yet.
func (s *Status) judgeScrubs(views []*view, policy Policy) {
	if policy.MaxScrub <= 0 {
		return
	}
	due := s.Time.Add(-policy.MaxScrub)
	for i, l := range s.Locations {
		points := views[i].points
		if !l.Reachable || len(points) == 0 || timeOfPoint(points[len(points)-1]).After(due) || l.Scrubbed != nil && l.Scrubbed.After(due) {
			continue
		}
		s.Policy.Unverified = append(s.Policy.Unverified, l.Name)
		last := "never"
		if l.Scrubbed != nil {
			last = "last on " + l.Scrubbed.UTC().Format(time.DateOnly)
		}
		s.Policy.Satisfied = false
		s.Policy.Findings = append(s.Policy.Findings, fmt.Sprintf("%s was read back whole %s", l.Name, last))
	}
}

// status is what the view comes to by itself.
func (v *view) status(waiting *waiting, now time.Time) LocationStatus {
	l := LocationStatus{
		Name: v.copy.Name, Media: v.copy.Media, Site: v.copy.Site, Domain: v.probed.domain, Reachable: v.err == nil,
		Points: len(v.points), CreateOnly: v.probed.capabilities.CreateOnly, Immutable: v.probed.capabilities.Immutable,
		Tests: append([]Test{}, v.probed.capabilities.Tests...), Waiting: waiting.of[v.copy.Name].Waiting,
		Problems: append([]Problem{}, v.problems...), Notes: append([]string{}, v.notes...),
	}
	if v.newest != nil {
		l.Newest, l.Age = v.newest.Name, secondsSince(v.newest.Time, now)
		l.Complete = v.complete()
	}
	if v.whole != nil {
		l.Restorable, l.point = v.restorable(), *v.whole
		l.Exposure = secondsSince(l.Restorable.Time, now)
	}
	return l
}

func secondsSince(t, now time.Time) *float64 {
	s := max(0, now.Sub(t)).Seconds()
	return &s
}

// compare finds the newest state, and how far each location is behind it.
func (s *Status) compare() {
	for _, l := range s.Locations {
		s.Waiting.Points = max(s.Waiting.Points, l.Waiting.Points)
		s.Waiting.Segments = max(s.Waiting.Segments, l.Waiting.Segments)
		if l.Restorable != nil && (s.Newest == nil || l.Restorable.Time.After(s.Newest.Time)) {
			s.Newest, s.Exposure, s.Point = l.Restorable, l.Exposure, l.point
		}
	}
	s.Point.Copies = nil
	for i, l := range s.Locations {
		if l.Restorable != nil {
			s.Locations[i].Behind = secondsSince(l.Restorable.Time, s.Newest.Time)
			if l.point.SHA256 == s.Point.SHA256 {
				s.Point.Copies = append(s.Point.Copies, l.Name)
			}
		}
	}
}

// judge holds the locations against the policy. What a location can restore by itself counts as its newest.
func (s *Status) judge(copies []Copy, policy Policy) {
	var standings []Standing
	s.Policy.Unverified = []string{}
	for i, l := range s.Locations {
		standing := Standing{Copy: copies[i], Domain: l.Domain, Immutable: l.Immutable, Holds: l.Restorable != nil}
		if standing.Holds {
			standing.Newest = l.Restorable.Time
		}
		standings = append(standings, standing)
		s.Policy.Problems += len(l.Problems)
	}
	s.Policy.PolicyResult = CheckPolicy(policy, standings, s.Time)
}

// Sound reports whether the policy is met, nothing is wrong with any location, and the newest state has every kind and opens
// for every identity that was tested.
func (s *Status) Sound() bool {
	closed := slices.ContainsFunc(s.Recipients, func(t RecipientTest) bool { return t.Tested && !t.Opens })
	return !closed && s.Policy.Satisfied && s.Policy.Problems == 0 && s.Newest != nil && len(s.Newest.Unreachable) == 0
}

// Reachable reports whether any location answered.
func (s *Status) Reachable() bool {
	return slices.ContainsFunc(s.Locations, func(l LocationStatus) bool { return l.Reachable })
}
