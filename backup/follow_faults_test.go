package backup_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestFollowLocationAway: the others go on, and the one that was away catches up.
func TestFollowLocationAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.memories[2].Break(backuptest.Dead)
		f.start()
		for i := range 300 {
			f.change(i)
		}
		s := f.follower.Status()
		if s.Backlog != 0 || s.Lag > time.Second || s.Locations[2].Behind != s.Log.Seq || s.Locations[2].Up {
			t.Errorf("status %+v", s)
		}
		f.memories[2].Break(nil)
		pass(31 * time.Second)
		if s := f.follower.Status(); s.Locations[2].Behind != 0 || !s.Locations[2].Up {
			t.Errorf("status %+v", s)
		}
		f.check(f.job.Copies[2])
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		f.check(f.job.Copies[2])
		if got, want := f.told(), "lineage, location-away offsite, point, location-back offsite, point"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// TestFollowLocationHangs: a driver that does not even notice that its time is over costs one goroutine, not one each time.
func TestFollowLocationHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.start()
		release, asked := make(chan struct{}), 0
		f.memories[2].Break(func(context.Context, string, string) error {
			asked++
			<-release
			return errors.New("stale file handle")
		})
		for i := range 30 {
			f.change(i)
			pass(10 * time.Second)
		}
		s := f.follower.Status()
		if l := s.Locations[2]; s.Backlog != 0 || asked != 1 || l.Up || l.Err == nil || !strings.Contains(l.Err.Error(), "did not answer") {
			t.Errorf("asked %d times: %+v", asked, s)
		}
		f.memories[2].Break(nil)
		close(release)
		pass(time.Minute)
		f.check(f.job.Copies[2])
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestFollowStopsInTime: a stop does not wait for what hangs, nor for a gateway that is away.
func TestFollowStopsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.gateway.Cut(errCut)
		f.start()
		pass(time.Minute)
		began := time.Now()
		if err := f.stop(); !errors.Is(err, backup.ErrUncommitted) || time.Since(began) > time.Second {
			t.Errorf("Run = %v after %s", err, time.Since(began))
		}
		f.gateway.Cut(nil)
		f.start()
		release := make(chan struct{})
		for _, m := range f.memories[1:] {
			m.Break(func(context.Context, string, string) error {
				<-release
				return errors.New("stale file handle")
			})
		}
		f.change(1)
		began = time.Now()
		if err := f.stop(); !errors.Is(err, backup.ErrUncommitted) || time.Since(began) > 11*time.Second {
			t.Errorf("Run = %v after %s", err, time.Since(began))
		}
		close(release)
		for _, m := range f.memories {
			m.Break(nil)
		}
		f.start() // what waited goes out
		f.check(f.job.Copies[1])
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// overwritable is a location that is not create-only.
type overwritable struct{ *backuptest.Memory }

func (o overwritable) Probe(context.Context) (backup.Capabilities, error) {
	return backup.Capabilities{}, nil
}

// TestFollowUnfenced: locations that cannot tell writers apart hold copies but do not count; where there is no other, nothing
// could be committed.
func TestFollowUnfenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		for i := range 2 {
			f.job.Copies[i].Location = overwritable{f.memories[i]}
		}
		f.start()
		f.memories[2].Break(backuptest.Dead)
		f.change(1)
		if s := f.follower.Status(); s.Backlog != 1 || s.Locations[0].Counts || s.Locations[0].Behind != 0 {
			t.Errorf("status %+v", s)
		}
		f.memories[2].Break(nil)
		pass(time.Minute)
		if s := f.follower.Status(); s.Backlog != 0 {
			t.Errorf("status %+v", s)
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		f.job.Copies[2].Location = overwritable{f.memories[2]}
		f.start()
		if err := <-f.done; !errors.Is(err, backup.ErrUnfenced) {
			t.Errorf("Run = %v, want ErrUnfenced", err)
		}
	})
}

// TestFollowNewLocation: a location that joins later gets what the newest points need, and counts from then on.
func TestFollowNewLocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		all := f.job.Copies
		f.job.Copies = all[:2]
		f.start()
		for i := range 100 {
			f.change(i)
		}
		pass(2 * time.Hour) // heartbeats, and then what is everywhere is dropped from the spool
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		f.job.Copies = all
		f.start()
		f.change(100)
		pass(time.Minute)
		f.check(all[2])
		if s := f.follower.Status(); s.Locations[2].Behind != 0 || s.Queue() != 0 {
			t.Errorf("status %+v", s)
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestMajorityAway: what waits is bounded, and the gateway keeps the rest.
func TestMajorityAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.backlog = 50
		f.start()
		f.memories[1].Break(backuptest.Dead)
		f.memories[2].Break(backuptest.Dead)
		for i := range 100 {
			f.change(i)
			pass(1100 * time.Millisecond)
		}
		s := f.follower.Status()
		if s.Backlog != 50 || s.Stalled == nil || s.Lag < time.Minute || s.Locations[0].Behind != 0 {
			t.Errorf("status %+v", s)
		}
		f.memories[1].Break(nil)
		f.memories[2].Break(nil)
		pass(time.Minute)
		if s := f.follower.Status(); s.Backlog != 0 || s.Stalled != nil || s.Lag > 2*time.Second {
			t.Errorf("status %+v", s)
		}
		f.check()
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestFollowSplitBrain: another writer with a spool of its own ends it; one that only a minority follows does not.
func TestFollowSplitBrain(t *testing.T) {
	for name, c := range map[string]struct {
		away, theirs []int
		split        bool
	}{
		"theirs is one":               {theirs: []int{0}},
		"theirs are two":              {theirs: []int{0, 1}, split: true},
		"theirs is one, one is away":  {theirs: []int{0}, away: []int{2}, split: true},
		"theirs are two, one is away": {theirs: []int{0, 1}, away: []int{2}, split: true},
		"theirs are all":              {theirs: []int{0, 1, 2}, split: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFollowed(t)
				f.take(t)
				other := f.job
				other.Spool = t.TempDir()
				f.gateway.Put(backuptest.Entity(gateway.Setting, "theirs", `{}`))
				for i, m := range f.memories {
					if !slices.Contains(c.theirs, i) {
						m.Break(backuptest.Dead)
					}
				}
				if len(c.theirs) == 1 { // as they would not go on without a majority
					other.Copies = []backup.Copy{f.job.Copies[c.theirs[0]]}
				}
				if _, err := backup.Take(t.Context(), other); err != nil {
					t.Fatal(err)
				}
				for i, m := range f.memories {
					m.Break(nil)
					if slices.Contains(c.away, i) {
						m.Break(backuptest.Dead)
					}
				}
				f.start()
				pass(time.Second)
				f.change(1)
				pass(time.Minute)
				if !c.split {
					s := f.follower.Status()
					if s.Backlog != 0 || s.Locations[0].Up || !errors.Is(s.Locations[0].Err, backup.ErrSplitBrain) {
						t.Errorf("status %+v", s)
					}
					f.check(f.job.Copies[1:]...)
					if err := f.stop(); err != nil {
						t.Error(err)
					}
					return
				}
				if err := <-f.done; !errors.Is(err, backup.ErrSplitBrain) {
					t.Errorf("Run = %v, want ErrSplitBrain", err)
				}
			})
		})
	}
}

// TestFollowTakenAway: what somebody took away from a location that is connected is put there again, without a restart.
func TestFollowTakenAway(t *testing.T) {
	for name, c := range map[string]struct {
		what   string
		where  int // how many locations
		change bool
	}{
		"a location was emptied":            {"gwdr1/", 1, true},
		"a location was emptied, no change": {"gwdr1/", 1, false},
		"all locations were emptied":        {"gwdr1/", 3, true},
		"the log":                           {"/log/", 1, true},
		"the log at all":                    {"/log/", 3, true},
		"the points, no change":             {"/points/", 2, false},
		"packs at all":                      {"/packs/", 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFollowed(t)
				f.start()
				for i := range 5 {
					f.change(i)
				}
				pass(20 * time.Minute)
				takeAway(t, c.what, f.memories[:c.where]...)
				if c.change {
					f.change(7)
				}
				pass(20 * time.Minute)
				for _, location := range f.job.Copies {
					f.check(location)
				}
				if s := f.follower.Status(); s.Backlog != 0 || !s.Locations[0].Up || s.Locations[0].PointErr != nil {
					t.Errorf("status %+v", s)
				}
				for _, m := range f.memories {
					if len(names(m, "restore.sh")) != 1 {
						t.Error("restore.sh is missing")
					}
				}
				if err := f.stop(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// moodyRecipient does not encrypt a number of times.
type moodyRecipient struct {
	age.Recipient
	fails atomic.Int64
}

func (m *moodyRecipient) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	if m.fails.Add(-1) >= 0 {
		return nil, errors.New("plugin failed")
	}
	return m.Recipient.Wrap(fileKey)
}

// TestSealFails: changes that were read but not sealed are read, and logged, once more.
func TestSealFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		moody := &moodyRecipient{Recipient: f.job.Keys.Recipients[0]}
		f.job.Keys.Recipients = []age.Recipient{moody}
		f.start()
		f.gateway.Cut(errCut)
		for i := range 3 {
			f.change(i)
		}
		moody.fails.Store(2)
		f.gateway.Cut(nil)
		pass(10 * time.Second)
		if tail := f.check(); tail.Changes != 3 {
			t.Errorf("tail %+v", tail)
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestFollowFaults: whatever fails meanwhile, in the end the copies hold the gateway's state.
func TestFollowFaults(t *testing.T) {
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFollowed(t)
				random := rand.New(rand.NewPCG(seed, 7))
				moody := &moodyRecipient{Recipient: f.job.Keys.Recipients[0]}
				f.job.Keys.Recipients = []age.Recipient{moody}
				f.start()
				for range 200 {
					switch random.IntN(12) {
					case 0:
						f.memories[random.IntN(3)].Break(backuptest.Dead)
					case 1:
						f.memories[random.IntN(3)].Break(func(context.Context, string, string) error {
							if rand.IntN(2) == 0 {
								return errors.New("connection reset")
							}
							return nil
						})
					case 2, 3:
						f.memories[random.IntN(3)].Break(nil)
					case 4:
						f.gateway.Cut(errCut)
					case 5, 6:
						f.gateway.Cut(nil)
					case 7:
						if random.IntN(8) == 0 {
							f.gateway.Forget()
						}
					case 8:
						pass(time.Duration(random.IntN(20)) * time.Minute)
					case 9:
						moody.fails.Store(int64(random.IntN(4)))
					case 10:
						if random.IntN(4) == 0 {
							if err := f.stop(); err != nil && !errors.Is(err, backup.ErrUncommitted) {
								t.Fatal(err)
							}
							f.start()
						}
					}
					if random.IntN(5) == 0 {
						f.gateway.Remove(gateway.Ref{Kind: gateway.Setting, ID: fmt.Sprintf("changed-%d", random.IntN(50))})
					}
					f.change(random.IntN(1000))
				}
				f.gateway.Cut(nil)
				moody.fails.Store(0)
				for _, m := range f.memories {
					m.Break(nil)
				}
				pass(2 * time.Minute)
				f.check()
				for _, c := range f.job.Copies {
					f.check(c)
				}
				if err := f.stop(); err != nil {
					t.Error(err)
				}
				f.check()
				for _, p := range f.find(t) {
					f.load(t, p)
				}
			})
		})
	}
}
