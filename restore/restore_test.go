package restore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// world is a gateway with its three locations.
type world struct {
	t        *testing.T
	gateway  *gatewaytest.Gateway
	copies   []backup.Copy
	memories []*backuptest.Memory // local, nas, offsite
	keys     backup.Keys
	spool    string
	restore  *Restore
}

func newWorld(t *testing.T, entities ...gateway.Entity) *world {
	w := &world{t: t, gateway: gatewaytest.New(entities...), keys: backuptest.NewKeys(t), spool: t.TempDir()}
	w.copies, w.memories = backuptest.Copies()
	w.restore = &Restore{Source: Source{Copies: w.copies, Keys: w.keys}, Target: w.gateway}
	return w
}

// backup takes a point of the gateway. Points of one second sort by revision.
func (w *world) backup() *backup.Result {
	w.t.Helper()
	res, err := backup.Take(w.t.Context(), backup.Job{Source: w.gateway, Gateway: "test", Copies: w.copies, Keys: w.keys,
		Policy: backuptest.Policy(), Spool: w.spool, Tool: "test"})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// run plans and applies, and wants the gateway to be verified.
func (w *world) run() (*Plan, *Result) {
	w.t.Helper()
	p, err := w.restore.Plan(w.t.Context())
	if err != nil {
		w.t.Fatalf("plan: %v, findings %v", err, p.Findings)
	}
	res, err := w.restore.Apply(w.t.Context(), p)
	if err != nil || !res.Verified {
		w.t.Fatalf("apply: %v", err)
	}
	return p, res
}

func (w *world) has(ref gateway.Ref) bool {
	_, ok := exportOf(w.t, w.gateway).State.Get(ref)
	return ok
}

// tamper flips a byte in the middle of every object at the locations whose name holds the text.
func (w *world) tamper(text string, memories ...*backuptest.Memory) {
	w.t.Helper()
	hits := 0
	for _, m := range memories {
		for name, content := range m.Objects() {
			if strings.Contains(name, text) {
				content = slices.Clone(content)
				content[len(content)/2] ^= 1
				m.Set(name, content)
				hits++
			}
		}
	}
	if hits == 0 {
		w.t.Fatalf("nothing is called %q", text)
	}
}

// packs returns the names of the packs that the locations hold.
func (w *world) packs() []string {
	names := slices.Collect(maps.Keys(w.memories[0].Objects()))
	return slices.DeleteFunc(names, func(name string) bool { return !strings.Contains(name, "/packs/") })
}

// wantFinding wants a finding whose subject starts so and whose text holds the text.
func (w *world) wantFinding(findings []Finding, subject, text string) {
	w.t.Helper()
	for _, f := range findings {
		if strings.HasPrefix(f.Subject, subject) && strings.Contains(f.Text, text) {
			return
		}
	}
	w.t.Errorf("no finding %s: ...%s... in %v", subject, text, findings)
}

func TestRestoreIntoBlankGateway(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	taken := w.backup()
	want := exportOf(t, w.gateway).State
	w.gateway.Wipe()
	p, res := w.run()
	if len(p.Findings) != 0 || p.Overwrites() || res.Created != want.Len() || res.Actual != want.Digest() || w.gateway.Blank() {
		t.Errorf("plan %+v, result %+v", p, res)
	}
	if res.Point != taken.Point || res.Parent != taken.Lineage+"@1" || !res.Time.Equal(taken.Time) {
		t.Errorf("result %+v of point %+v", res, taken)
	}
	if diff := cmp.Diff(map[string]int{"local": want.Len()}, res.Provenance); diff != "" {
		t.Error(diff)
	}
}

func TestLocationMissing(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.gateway.Wipe()
	w.restore.Patience = 20 * time.Millisecond
	w.memories[0].Break(backuptest.Hang)
	w.memories[1].Break(backuptest.Dead)
	p, res := w.run()
	w.wantFinding(p.Findings, "local", "no answer within 20ms")
	w.wantFinding(p.Findings, "nas", "connection refused")
	if diff := cmp.Diff(map[string]int{"offsite": len(gatewaytest.Sample())}, res.Provenance); diff != "" {
		t.Error(diff)
	}
}

func TestNothingRestorable(t *testing.T) {
	for name, spoil := range map[string]func(w *world){
		"no location answers": func(w *world) {
			for _, m := range w.memories {
				m.Break(backuptest.Dead)
			}
		},
		"every point is damaged": func(w *world) { w.tamper("/points/", w.memories...) },
		"every pack is damaged":  func(w *world) { w.tamper("/packs/", w.memories...) },
		"signed by a stranger":   func(w *world) { w.restore.Keys.Trusted = backuptest.NewKeys(w.t).Trusted },
		"encrypted for others": func(w *world) {
			w.restore.Keys.Identities = backuptest.NewKeys(w.t).Identities
		},
		"no identity":       func(w *world) { w.restore.Keys.Identities = nil },
		"no such point":     func(w *world) { w.restore.At = At{Point: "20010101T000000Z"} },
		"too early a time":  func(w *world) { w.restore.At = At{Time: time.Unix(0, 0)} },
		"all are empty":     func(w *world) { *w = *newWorld(w.t); w.backup() },
		"no point was made": func(w *world) { *w = *newWorld(w.t) },
	} {
		w := newWorld(t, gatewaytest.Sample()...)
		w.backup()
		w.gateway.Put(changedRoute)
		spoil(w)
		before := exportOf(t, w.gateway).State.Digest()
		p, err := w.restore.Plan(t.Context())
		if !errors.Is(err, ErrNothing) || p == nil || p.Schema != PlanSchema {
			t.Errorf("%s: %v", name, err)
		}
		if exportOf(t, w.gateway).State.Digest() != before || w.gateway.Applies() != 0 {
			t.Errorf("%s: the gateway was changed", name)
		}
	}
}

// TestWrongIdentity: the error names who could open the points.
func TestWrongIdentity(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.backup()
	recipient := w.keys.RecipientIDs[0]
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w.restore.Keys.Identities = []age.Identity{stranger}
	w.restore.Keys.IdentityFile = "/keys/identity"
	p, err := w.restore.Plan(t.Context())
	if !errors.Is(err, ErrNothing) || !errors.Is(err, ErrSealed) || !strings.Contains(err.Error(), "encrypted for "+recipient) ||
		!strings.Contains(err.Error(), "none of 2 points is encrypted for the identity /keys/identity") {
		t.Error(err)
	}
	if len(p.Findings) > 0 {
		t.Errorf("the same is said again: %v", p.Findings)
	}
}

// veiled is an identity of which cannot be told beforehand what it opens, as a plugin's.
type veiled struct {
	age.Identity
	fail error
}

func (v veiled) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	if v.fail != nil {
		return nil, v.fail
	}
	return v.Identity.Unwrap(stanzas)
}

// TestVeiledIdentity: that an identity does not fit, or cannot be used, is not said of the points; and an older point is
// not restored because of a wrong passphrase.
func TestVeiledIdentity(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.backup()
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w.restore.Keys.Identities = []age.Identity{veiled{Identity: stranger}}
	if _, err := w.restore.Plan(t.Context()); !errors.Is(err, ErrNothing) || !errors.Is(err, ErrSealed) {
		t.Errorf("does not fit: %v", err)
	}
	w.restore.Keys.Identities = []age.Identity{veiled{fail: backup.ErrNoIdentity}}
	if _, err := w.restore.Plan(t.Context()); !errors.Is(err, backup.ErrNoIdentity) || errors.Is(err, ErrNothing) || errors.Is(err, backup.ErrIntegrity) {
		t.Errorf("cannot be used: %v", err)
	}
}

// TestTamperedPoint: a copy that does not verify is passed over for the next location's.
func TestTamperedPoint(t *testing.T) {
	for _, what := range []string{"/points/", "/packs/"} {
		w := newWorld(t, gatewaytest.Sample()...)
		w.backup()
		w.tamper(what, w.memories[0])
		w.gateway.Wipe()
		p, res := w.run()
		if len(p.Findings) == 0 || p.Findings[0].Subject != "local" {
			t.Errorf("%s: findings %v", what, p.Findings)
		}
		if from := slices.Sorted(maps.Keys(res.Provenance)); !strings.Contains(from[0], "nas") {
			t.Errorf("%s: read from %v", what, from)
		}
	}
}

// TestOlderPoint: when the newest point is lost everywhere, the one before it is used, and that is said.
func TestOlderPoint(t *testing.T) {
	t.Run("pack", func(t *testing.T) {
		w := newWorld(t, gatewaytest.Sample()...)
		older := w.backup()
		old := w.packs()
		w.gateway.Put(changedRoute)
		newer := w.backup()
		for _, pack := range w.packs() {
			if !slices.Contains(old, pack) {
				w.tamper(pack, w.memories...)
			}
		}
		p, _ := w.run()
		if p.Point != older.Point {
			t.Errorf("restored %s, want %s", p.Point, older.Point)
		}
		w.wantFinding(p.Findings, strings.TrimPrefix(newer.Point, "points/"), "cannot be restored")
		w.wantFinding(p.Findings, strings.TrimPrefix(older.Point, "points/"), "is not the newest")
		w.wantFinding(p.Findings, strings.TrimPrefix(newer.Point, "points/"), "revoked by then may come back")
	})
	t.Run("point", func(t *testing.T) {
		w := newWorld(t, gatewaytest.Sample()...)
		older := w.backup()
		w.gateway.Put(changedRoute)
		newer := w.backup()
		w.tamper(newer.Point, w.memories...)
		p, _ := w.run()
		if p.Point != older.Point {
			t.Errorf("restored %s, want %s", p.Point, older.Point)
		}
		w.wantFinding(p.Findings, strings.TrimPrefix(newer.Point, "points/"), "verifies at no location")
	})
}

// TestEmptyPoint: a backup that was taken after the loss is not what one wants back.
func TestEmptyPoint(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	full := w.backup()
	w.gateway.Wipe()
	empty := w.backup()
	p, _ := w.run()
	if p.Point != full.Point {
		t.Errorf("restored %s, want %s", p.Point, full.Point)
	}
	w.wantFinding(p.Findings, strings.TrimPrefix(empty.Point, "points/"), "is empty")
	w.restore.At = At{Point: empty.Point} // but one may ask for it
	if p, _ = w.run(); p.Total.Delete != len(gatewaytest.Sample())-1 {
		t.Errorf("%+v", p.Total)
	}
}

func TestShrunkPoint(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.gateway.Wipe()
	w.gateway.Put(extraSetting)
	shrunk := w.backup()
	p, _ := w.run()
	if p.Point != shrunk.Point {
		t.Errorf("restored %s", p.Point)
	}
	w.wantFinding(p.Findings, strings.TrimPrefix(shrunk.Point, "points/"), "was it taken after the loss?")
}

// TestRevokedStaysDead: whoever knows of a revocation, no restore brings the key back to life.
func TestRevokedStaysDead(t *testing.T) {
	for name, setUp := range map[string]func(w *world, older *backup.Result){
		"the target knows": func(w *world, _ *backup.Result) { w.gateway.Put(newlyRevoked) },
		"only a witness knows": func(w *world, _ *backup.Result) {
			w.gateway.Wipe()
			w.restore.Witnesses = []RevocationSource{gatewaytest.New(newlyRevoked)}
		},
		"only a newer point knows": func(w *world, older *backup.Result) {
			w.gateway.Put(newlyRevoked)
			w.backup()
			w.gateway.Wipe()
			w.restore.At = At{Point: older.Point}
		},
		"only a point of another lineage knows": func(w *world, older *backup.Result) {
			w.gateway.Wipe()
			w.gateway.Put(newlyRevoked)
			w.backup()
			w.gateway.Wipe()
			w.restore.At = At{Point: older.Point}
		},
		"only a location that is not restored from knows": func(w *world, _ *backup.Result) {
			w.gateway.Put(newlyRevoked)
			copies := w.copies
			w.copies = copies[:1]
			w.backup()
			w.gateway.Wipe()
			w.restore.Copies, w.restore.Elsewhere = copies[2:], copies[:2]
		},
		"the target knows, and only keys are restored": func(w *world, _ *backup.Result) {
			w.gateway.Put(newlyRevoked)
			w.gateway.Remove(leakedKey)
			w.restore.Only = []gateway.Kind{gateway.Key}
		},
	} {
		w := newWorld(t, gatewaytest.Sample()...)
		setUp(w, w.backup())
		_, res := w.run()
		if !w.has(leakedKey) || !w.has(newlyRevoked.Ref) {
			t.Errorf("%s: key there %v, revocation there %v", name, w.has(leakedKey), w.has(newlyRevoked.Ref))
		}
		if res.Revoked != 1 {
			t.Errorf("%s: %d revocations applied", name, res.Revoked)
		}
	}
}

// TestRevokedFirst: no order of the changes leaves a moment in which a revoked key works.
func TestRevokedFirst(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.gateway.Wipe()
	w.restore.Witnesses = []RevocationSource{gatewaytest.New(newlyRevoked)}
	p, err := w.restore.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	kinds := slices.Compact(slices.Collect(func(yield func(gateway.Kind) bool) {
		for _, s := range p.Steps {
			yield(s.Kind)
		}
	}))
	if slices.Index(kinds, gateway.Revocation) > slices.Index(kinds, gateway.Key) || !slices.IsSortedFunc(kinds, gateway.Kind.Compare) {
		t.Errorf("kinds are created in the order %v", kinds)
	}
}

func TestSilentWitness(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.restore.Patience = 20 * time.Millisecond
	w.restore.Witnesses = []RevocationSource{silent{}}
	p, _ := w.run()
	w.wantFinding(p.Findings, "witness 1", "may come back")
}

// TestAt: the state of the moment, not the newest.
func TestAt(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	older := w.backup()
	w.gateway.Put(changedRoute)
	w.gateway.Put(extraRoute)
	w.backup()
	w.restore.At = At{Time: older.Time}
	p, _ := w.run()
	if diff := cmp.Diff([]string{"update route/orders", "delete route/extra"}, ops(p)); diff != "" {
		t.Error(diff)
	}
}

func TestPlanCancelled(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.restore.Plan(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestGatewayUnreadable(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.gateway.FailExport(errDisk)
	if _, err := w.restore.Plan(t.Context()); !errors.Is(err, errDisk) || errors.Is(err, ErrNothing) {
		t.Error(err)
	}
}
