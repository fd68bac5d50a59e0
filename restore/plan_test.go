package restore

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

func entity(k gateway.Kind, id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: []byte(body)}
}

func exportOf(t *testing.T, s gateway.Source) *gateway.Export {
	t.Helper()
	e, err := s.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func ops(p *Plan) []string {
	all := []string{}
	for _, s := range p.Steps {
		all = append(all, string(s.Op)+" "+s.Ref.String())
	}
	return all
}

// without and with return a copy of the sample configuration.
func sampleWith(entities ...gateway.Entity) *gateway.State {
	s := gateway.NewState(gatewaytest.Sample()...)
	for _, e := range entities {
		s.Put(e)
	}
	return s
}

var (
	changedRoute = entity(gateway.Route, "orders", `{"path":"/changed","upstream":"echo","auth":"none"}`)
	extraRoute   = entity(gateway.Route, "extra", `{"path":"/extra","upstream":"echo"}`)
	extraSetting = entity(gateway.Setting, "extra", `{}`)
	leakedKey    = gateway.Ref{Kind: gateway.Key, ID: "0123456789abcdef"}
	rotatedOut   = entity(gateway.Revocation, "0123456789abcdef", `{"at":"2026-03-04T05:06:07Z","effective":"2999-03-04T05:06:07Z"}`)
	newlyRevoked = entity(gateway.Revocation, "0123456789abcdef", `{"at":"2026-03-04T05:06:07Z"}`)
)

func TestCompare(t *testing.T) {
	for name, test := range map[string]struct {
		restore     Restore
		live        *gateway.State
		unreadable  []gateway.Kind // at the target
		unbacked    []gateway.Kind // in the point
		revocations []gateway.Entity
		want        []string
		revoked     int
	}{
		"nothing to do": {live: sampleWith(), want: []string{}},
		"everything, in reference order": {
			live: sampleWith(changedRoute, extraRoute, extraSetting),
			want: []string{"update route/orders", "delete route/extra", "delete setting/extra"},
		},
		"no delete": {
			restore: Restore{NoDelete: true}, live: sampleWith(changedRoute, extraRoute), want: []string{"update route/orders"},
		},
		"only settings": {
			restore: Restore{Only: []gateway.Kind{gateway.Setting}}, live: sampleWith(changedRoute, extraSetting),
			want: []string{"delete setting/extra"},
		},
		"unreadable at the target": {
			live: sampleWith(changedRoute, extraSetting), unreadable: []gateway.Kind{gateway.Route}, want: []string{"delete setting/extra"},
		},
		"missing in the point": {
			live: sampleWith(changedRoute, extraSetting), unbacked: []gateway.Kind{gateway.Setting}, want: []string{"update route/orders"},
		},
		"a revocation of the target stays": {
			live: sampleWith(newlyRevoked), want: []string{}, revoked: 1,
		},
		"a revocation of the target stays as it is": {
			live: sampleWith(entity(gateway.Revocation, "fedcba9876543210", `{"at":"2026-01-01T00:00:00Z"}`)), want: []string{},
		},
		"a revocation of a witness comes": {
			live: sampleWith(), revocations: []gateway.Entity{newlyRevoked, changedRoute}, want: []string{"create revocation/0123456789abcdef"}, revoked: 1,
		},
		"the earlier revocation counts": {
			live: sampleWith(rotatedOut), revocations: []gateway.Entity{newlyRevoked, rotatedOut},
			want: []string{"update revocation/0123456789abcdef"}, revoked: 1,
		},
		"the earlier revocation stays": {
			live: sampleWith(newlyRevoked), revocations: []gateway.Entity{rotatedOut}, want: []string{}, revoked: 1,
		},
		"revocations come with keys": {
			restore: Restore{Only: []gateway.Kind{gateway.Key}}, live: sampleWith(changedRoute), revocations: []gateway.Entity{newlyRevoked},
			want: []string{"create revocation/0123456789abcdef"}, revoked: 1,
		},
		"revocations do not come with routes": {
			restore: Restore{Only: []gateway.Kind{gateway.Route}}, live: sampleWith(), revocations: []gateway.Entity{newlyRevoked}, want: []string{},
		},
	} {
		point := &Snapshot{RevokedBy: time.Now(), State: sampleWith(), Revocations: test.revocations, Point: backup.Found{Point: backup.Point{Unreachable: test.unbacked}}}
		live := &gateway.Export{State: test.live, Unreachable: test.unreadable}
		p := test.restore.compare(live, point)
		if diff := cmp.Diff(test.want, ops(p)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if p.Revoked != test.revoked {
			t.Errorf("%s: %d revocations applied, want %d", name, p.Revoked, test.revoked)
		}
		state := test.live.Clone()
		for _, c := range p.Changes {
			state.Apply(c)
		}
		if state.Digest() != p.Expected {
			t.Errorf("%s: the changes do not lead to the expected digest", name)
		}
	}
}

func TestCounts(t *testing.T) {
	live := sampleWith(changedRoute, extraRoute)
	live.Delete(gateway.Ref{Kind: gateway.Setting, ID: "log"})
	p := (&Restore{}).compare(&gateway.Export{State: live}, &Snapshot{RevokedBy: time.Now(), State: sampleWith()})
	want := map[gateway.Kind]Counts{
		gateway.Setting: {Create: 1}, gateway.Upstream: {Unchanged: 2}, gateway.Spec: {Unchanged: 3}, gateway.Consumer: {Unchanged: 1},
		gateway.Revocation: {Unchanged: 1}, gateway.Key: {Unchanged: 2}, gateway.Route: {Update: 1, Delete: 1},
	}
	if diff := cmp.Diff(want, p.Kinds); diff != "" {
		t.Error(diff)
	}
	if want := (Counts{Create: 1, Update: 1, Delete: 1, Unchanged: 9}); p.Total != want || !p.Overwrites() {
		t.Errorf("total %+v, want %+v", p.Total, want)
	}
}

// TestDangling: what is restored alone may refer to what is not there, and the plan says so.
func TestDangling(t *testing.T) {
	r := Restore{Only: []gateway.Kind{gateway.Route}}
	p := r.compare(&gateway.Export{State: gateway.NewState()}, &Snapshot{RevokedBy: time.Now(), State: sampleWith()})
	want := []Finding{{"route/orders", "refers to upstream/echo, which will not be there"}}
	if diff := cmp.Diff(want, p.Findings); diff != "" {
		t.Error(diff)
	}
	many := sampleWith()
	for _, id := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		many.Put(entity(gateway.Route, id, `{"upstream":"echo"}`))
	}
	p = r.compare(&gateway.Export{State: gateway.NewState()}, &Snapshot{RevokedBy: time.Now(), State: many})
	if i := slices.IndexFunc(p.Findings, func(f Finding) bool { return f.Subject == "references" }); i != danglingShown {
		t.Errorf("findings: %v", p.Findings)
	}
}
