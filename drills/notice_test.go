package drills

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
	"gwdr/scenarios"
)

// TestNotices shows what somebody is told of a drill, and how to abort it.
func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		var all []Notice
		l.Notify = func(_ context.Context, n Notice) error { all = append(all, n); return nil }
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Pass {
			t.Fatalf("%+v, %v", r, err)
		}
		var events []string
		for _, n := range all {
			events = append(events, strings.TrimSuffix(string(n.Event)+" "+string(n.Phase), " "))
			if !strings.HasPrefix(n.Text, "[DRILL] region-loss on lab: ") || n.Run != r.ID || n.Schema != noticeSchema {
				t.Errorf("%+v", n)
			}
			if how := strings.Contains(n.Text, "to abort: create "+l.Evidence+"/STOP"); how != (n.Event != NoticeEnded) {
				t.Errorf("%s: %s", n.Event, n.Text)
			}
		}
		want := []string{"announced announced", "phase baseline", "phase armed", "started injecting", "phase observing", "phase recovering", "phase observing", "phase recovered",
			"phase sustain", "phase reverting", "phase settling", "phase failback", "phase reconciling", "phase clean", "ended"}
		if diff := cmp.Diff(want, events); diff != "" {
			t.Errorf("notices (-want +got):\n%s", diff)
		}
		if first := all[0].Text; !strings.Contains(first, "kill us-east-1, us-east-2, us-east-control; at most ") {
			t.Errorf("announced: %s", first)
		}
		if last := all[len(all)-1]; last.Verdict != Pass {
			t.Errorf("ended: %+v", last)
		}
	})
}

// TestNobodyIsTold shows that a drill that cannot be announced is refused, and that nothing later stops or delays one.
func TestNobodyIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		notify  func(ctx context.Context, n Notice) error
		refused bool
	}{
		"from the beginning": {func(context.Context, Notice) error { return errors.New("no answer") }, true},
		"later": {func(_ context.Context, n Notice) error {
			return map[bool]error{true: errors.New("no answer")}[n.Event != NoticeAnnounced]
		}, false},
		"never again": {func(_ context.Context, n Notice) error {
			if n.Event != NoticeAnnounced {
				time.Sleep(time.Hour)
				return errors.New("no answer") // when nobody can be warned any more
			}
			return nil
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.Notify = test.notify
				var warned []string
				l.Events = func(e Event) {
					if e.Warning != "" {
						warned = append(warned, e.Warning)
					}
				}
				r, err := l.run(t, t.Context())
				if errors.Is(err, ErrRefused) != test.refused || test.refused && len(l.world.calls) > 0 || !test.refused && r.Verdict != Pass {
					t.Errorf("%s, %v; calls %v", r.Verdict, err, l.world.calls)
				}
				if !test.refused && !slices.ContainsFunc(warned, func(w string) bool { return strings.HasPrefix(w, "notification failed") }) {
					t.Errorf("warned of %v", warned)
				}
				time.Sleep(20 * time.Hour) // what hangs has an end
			})
		})
	}
}

// TestBoundsRefuse shows that a drill is refused that crosses what gwdr.yaml or the scenario forbids, or that nobody approves.
func TestBoundsRefuse(t *testing.T) { // on Saturday, January 1, 2000, at midnight
	holiday := []scenarios.Blackout{{From: "2000-01-01", To: "2000-01-01", Zone: "UTC"}}
	short := []scenarios.Window{{Days: []string{"sat"}, From: "00:00", To: "00:01", Zone: "UTC"}}
	for name, test := range map[string]struct {
		arrange func(l *lab)
		text    string
	}{
		"a blackout of the scenario": {func(l *lab) { l.Scenario.Safety.Blackout = holiday }, "no drill from 2000-01-01"},
		"a blackout of all drills":   {func(l *lab) { l.Bounds.Blackout = holiday }, "no drill from 2000-01-01"},
		"a window that is too short": {func(l *lab) { l.Bounds.Windows = short }, "ends in 1m0s"},
		"a window that is over when the preflight is": {func(l *lab) {
			l.Bounds.Windows = []scenarios.Window{{From: "00:00", To: "00:05", Zone: "UTC"}}
			l.Backup = func(context.Context, time.Duration) (Backup, error) {
				time.Sleep(2 * time.Minute)
				return Backup{Locations: []string{"local", "nas"}}, nil
			}
		}, "ends in 3m0s"},
		"protected": {func(l *lab) { l.Bounds.Protect = []fleet.Selector{{Instance: "us-east-2"}} }, "us-east-2 would be touched, and safety.protect protects it"},
		"not approved": {func(l *lab) {
			l.Approve = func(_ context.Context, p *scenarios.Plan, hash string) error {
				if text, err := p.YAML(); err != nil || scenarios.Hash(text) != hash {
					t.Errorf("hash %s, %v", hash, err)
				}
				return errors.New("another plan was approved")
			}
		}, "another plan was approved"},
		"itself": {func(l *lab) { l.world.ownPID("us-east-1") }, "us-east-1 is this drill itself"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				test.arrange(l)
				r, err := l.run(t, t.Context())
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("got %v, want %q", err, test.text)
				}
				if announced := slices.Contains(phases(r), Announced); announced && name == "not approved" {
					t.Error("announced")
				}
				if slices.Contains(phases(r), Baseline) || len(l.world.calls) > 0 {
					t.Errorf("phases %v, calls %v", phases(r), l.world.calls)
				}
			})
		})
	}
}

// TestStopEndsTheBaseline shows that nobody waits for a baseline that is not wanted any more.
func TestStopEndsTheBaseline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		began := time.Now()
		time.AfterFunc(2*time.Second, l.stop)
		_, err := l.run(t, t.Context())
		if stop := (*StopError)(nil); !errors.Is(err, ErrRefused) || !errors.As(err, &stop) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
