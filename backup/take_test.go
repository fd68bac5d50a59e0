package backup_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// house is a gateway with three locations.
type house struct {
	job      backup.Job
	source   *backuptest.Source
	memories []*backuptest.Memory
}

func newHouse(t testing.TB, entities ...gateway.Entity) *house {
	t.Helper()
	copies, memories := backuptest.Copies()
	source := backuptest.NewSource("store-1", entities...)
	return &house{source: source, memories: memories, job: backup.Job{
		Source: source, Gateway: "test", Copies: copies, Keys: backuptest.NewKeys(t), Policy: backuptest.Policy(),
		Spool: t.TempDir(), Tool: "gwdr test",
	}}
}

func (h *house) take(t testing.TB) *backup.Result {
	t.Helper()
	result, err := backup.Take(t.Context(), h.job)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// TestTakeAnywhere: a spool whose path holds what a pattern gives a meaning delivers all the same.
func TestTakeAnywhere(t *testing.T) {
	h := newHouse(t)
	h.job.Spool = filepath.Join(t.TempDir(), "spool[1]*")
	if r := h.take(t); r.Stored() != len(h.job.Copies) {
		t.Errorf("%d locations took it", r.Stored())
	}
}

// find returns the points and fails if there is any problem.
func (h *house) find(t testing.TB) []backup.Found {
	t.Helper()
	found, problems := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	for _, p := range problems {
		t.Errorf("problem at %s: %s: %v", p.Copy, p.Object, p.Err)
	}
	return found
}

func (h *house) load(t testing.TB, f backup.Found) *gateway.State {
	t.Helper()
	state, _, err := backup.Load(t.Context(), f, h.job.Copies, h.job.Keys.Identities)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func (h *house) pending(t testing.TB) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.job.Spool, "lineages", "*", "pending", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// someEntities has ids that a file system or a tar could take wrongly.
func someEntities() []gateway.Entity {
	entities := []gateway.Entity{backuptest.Entity(gateway.Spec, "petstore", "openapi: 3.1.0\n"), backuptest.Entity(gateway.Setting, "empty", "")}
	for i, id := range []string{"a", "A", "a/b", "../../etc/passwd", "..", ".", "a%2Fb", "ä ö", "x.json", "-rf", strings.Repeat("long", 128)} {
		entities = append(entities, backuptest.Entity(gateway.Route, id, fmt.Sprintf(`{"path":"/%d"}`, i)))
	}
	return append(entities, backuptest.Entity("plugin:of/another gateway", "x", "{}"))
}

func TestTakeAndLoad(t *testing.T) {
	h := newHouse(t, someEntities()...)
	result := h.take(t)
	if !result.Complete() || result.Stored() != 3 {
		t.Errorf("result is not complete: %+v", result)
	}
	found := h.find(t)
	if len(found) != 1 || found[0].Name != result.Point {
		t.Fatalf("found %v, want %s", found, result.Point)
	}
	if diff := cmp.Diff([]string{"local", "nas", "offsite"}, found[0].Copies); diff != "" {
		t.Error(diff)
	}
	state, provenance, err := backup.Load(t.Context(), found[0], h.job.Copies, h.job.Keys.Identities)
	if err != nil {
		t.Fatal(err)
	}
	if changes := gateway.Diff(gateway.NewState(someEntities()...), state); len(changes) > 0 {
		t.Errorf("loaded state differs: %v", changes)
	}
	if diff := cmp.Diff(map[string]int{"local": len(someEntities())}, provenance.ByCopy()); diff != "" {
		t.Error(diff)
	}
	objects := h.memories[0].Objects()
	if len(objects) != 6 { // README.txt, restore.sh, repo.tar, a pack, a segment of the log, a point
		t.Errorf("%d objects: %v", len(objects), slices.Sorted(maps.Keys(objects)))
	}
	for _, m := range h.memories[1:] {
		if diff := cmp.Diff(objects, m.Objects()); diff != "" {
			t.Errorf("locations differ: %s", diff)
		}
	}
	if n := h.pending(t); n != 0 {
		t.Errorf("%d points are left in the spool", n)
	}
}

// TestResultJSON holds the contract gwdr/backup/v1.
func TestResultJSON(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Route, "a", "{}"), backuptest.Entity(gateway.Key, "k", "{}"))
	text, err := json.Marshal(h.take(t))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), `{"schema":"gwdr/backup/v1",`) {
		t.Errorf("schema is not first: %.60s", text)
	}
	if diff := cmp.Diff(map[string]any{"route": 1.0, "key": 1.0}, got["entities"]); diff != "" {
		t.Error(diff)
	}
	for _, key := range []string{"lineage", "point", "revision", "consistency_time", "unreachable", "bytes", "duration_s", "locations", "policy"} {
		if got[key] == nil {
			t.Errorf("%s is missing", key)
		}
	}
	location := got["locations"].([]any)[2].(map[string]any)
	for key, want := range map[string]any{"name": "offsite", "media": "object", "site": "dc2", "immutable": false, "ok": true} {
		if location[key] != want {
			t.Errorf("location has %s %v, want %v", key, location[key], want)
		}
	}
	policy := got["policy"].(map[string]any)
	for key, want := range map[string]any{"copies": 3.0, "media": 3.0, "offsite": 1.0, "immutable": 0.0, "satisfied": true} {
		if policy[key] != want {
			t.Errorf("policy has %s %v, want %v", key, policy[key], want)
		}
	}
}

func TestNoKeyNoNameInClear(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Route, "secret-route-name", `{"secret-body":1}`))
	h.take(t)
	for name, content := range h.memories[0].Objects() {
		if strings.Contains(name+string(content), "secret-") {
			t.Errorf("%s shows a name or a body", name)
		}
	}
}

func TestChain(t *testing.T) {
	h := newHouse(t)
	h.take(t)
	h.source.Put(backuptest.Entity(gateway.Route, "a", "{}"))
	h.take(t)
	found := h.find(t)
	if len(found) != 2 || found[0].Revision != 2 || found[0].Previous != found[1].SHA256 || found[1].Previous != "" ||
		found[0].Lineage != found[1].Lineage {
		t.Errorf("points are no chain: %+v", found)
	}
	if n := h.load(t, found[0]).Len(); n != 1 {
		t.Errorf("newest point holds %d entities, want 1", n)
	}
}

func TestOneLocationDead(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.memories[1].Break(backuptest.Dead)
	result := h.take(t)
	if result.Complete() || result.Stored() != 2 || result.Policy.Satisfied {
		t.Errorf("result claims too much: %+v", result)
	}
	if l := result.Locations[1]; l.OK || !strings.Contains(l.Error, "connection refused") {
		t.Errorf("dead location: %+v", l)
	}
	if n := h.pending(t); n != 1 {
		t.Errorf("%d points wait in the spool, want 1", n)
	}
	h.memories[1].Break(nil)
	result = h.take(t)
	if !result.Complete() || result.Locations[1].CaughtUp != 1 || result.Locations[0].CaughtUp != 0 {
		t.Errorf("location did not catch up: %+v", result)
	}
	if diff := cmp.Diff(h.memories[0].Objects(), h.memories[1].Objects()); diff != "" {
		t.Error(diff)
	}
	if n := h.pending(t); n != 0 {
		t.Errorf("%d points are left in the spool", n)
	}
}

func TestOneLocationHangs(t *testing.T) {
	h := newHouse(t)
	h.job.Patience = time.Second
	h.memories[2].Break(backuptest.Hang)
	started := time.Now()
	result := h.take(t)
	if took := time.Since(started); took > 20*time.Second {
		t.Errorf("backup waited %s for a dead location", took)
	}
	if l := result.Locations[2]; l.OK || !strings.Contains(l.Error, "did not answer within 1s") {
		t.Errorf("hanging location: %+v", l)
	}
	if result.Stored() != 2 {
		t.Errorf("the others did not take the point: %+v", result)
	}
}

func TestAllLocationsDead(t *testing.T) {
	h := newHouse(t, someEntities()...)
	for _, m := range h.memories {
		m.Break(backuptest.Dead)
	}
	if result, err := backup.Take(t.Context(), h.job); err == nil || result.Stored() != 0 {
		t.Fatalf("Take = %+v, %v; want an error", result, err)
	}
	for _, m := range h.memories {
		m.Break(nil)
	}
	h.source.Fail(errors.New("gateway is down"))
	if _, err := backup.Take(t.Context(), h.job); err == nil || !strings.Contains(err.Error(), "gateway is down") {
		t.Fatalf("Take of a dead gateway = %v", err)
	}
	found := h.find(t) // what waited in the spool went out all the same
	if len(found) != 1 || len(found[0].Copies) != 3 {
		t.Fatalf("found %v, want one point at three locations", found)
	}
	h.load(t, found[0])
}

func TestInterrupted(t *testing.T) {
	h := newHouse(t, someEntities()...)
	ctx, cancel := context.WithCancel(t.Context())
	h.memories[0].Break(func(_ context.Context, op, _ string) error {
		if op == "put" {
			cancel()
		}
		return ctx.Err()
	})
	if _, err := backup.Take(ctx, h.job); !errors.Is(err, context.Canceled) {
		t.Fatalf("Take = %v, want context.Canceled", err)
	}
	h.memories[0].Break(nil)
	if result := h.take(t); !result.Complete() {
		t.Errorf("next backup is not complete: %+v", result)
	}
	if n := len(h.find(t)); n != 2 {
		t.Errorf("%d points, want 2", n)
	}
}

func TestLineages(t *testing.T) {
	h := newHouse(t, someEntities()...)
	first := h.take(t)
	h.source.Wipe("store-2")
	second := h.take(t)
	if want := fmt.Sprintf("%s@%d", first.Lineage, first.Revision); second.Lineage == first.Lineage || second.Parent != want {
		t.Errorf("new store: lineage %s of %s, want a new one of %s", second.Lineage, second.Parent, want)
	}
	if err := backup.RecordRestore(t.Context(), h.job.Spool, "test", "store-3", "parent@7"); err != nil {
		t.Fatal(err)
	}
	h.source.Wipe("store-3")
	if third := h.take(t); third.Parent != "parent@7" {
		t.Errorf("restored store: parent %q, want parent@7", third.Parent)
	}
	other := h.job
	other.Gateway, other.Source = "another", backuptest.NewSource("store-4")
	result, err := backup.Take(t.Context(), other)
	if err != nil || result.Parent != "" {
		t.Errorf("another gateway: parent %q, %v; want none", result.Parent, err)
	}
}

// TestSpoolLost: a writer on a new machine goes on where the locations are.
func TestSpoolLost(t *testing.T) {
	h := newHouse(t, someEntities()...)
	first := h.take(t)
	h.job.Spool, h.job.Tool = t.TempDir(), "a newer gwdr"
	h.memories[0].Break(backuptest.Dead)
	second := h.take(t)
	if second.Lineage != first.Lineage {
		t.Errorf("lineage %s, want %s", second.Lineage, first.Lineage)
	}
	h.memories[0].Break(nil)
	h.take(t)
	found := h.find(t)
	if len(found) != 3 || found[1].Previous != found[2].SHA256 {
		t.Errorf("points are no chain: %+v", found)
	}
	for _, m := range h.memories[1:] {
		if diff := cmp.Diff(h.memories[0].Objects(), m.Objects()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTwoAtOnce(t *testing.T) {
	h := newHouse(t)
	err := errors.New("not tried")
	h.memories[0].Break(func(context.Context, string, string) error {
		_, err = backup.Take(t.Context(), h.job)
		h.memories[0].Break(nil)
		return nil
	})
	h.take(t)
	if !errors.Is(err, backup.ErrLocked) {
		t.Errorf("second backup = %v, want ErrLocked", err)
	}
}

func TestUselessJobs(t *testing.T) {
	for name, spoil := range map[string]func(*backup.Job){
		"there is no location":       func(j *backup.Job) { j.Copies = nil },
		"there is no recipient":      func(j *backup.Job) { j.Keys.Recipients = nil },
		"there is no signing key":    func(j *backup.Job) { j.Keys.Signer = nil },
		"do not include the signing": func(j *backup.Job) { j.Keys.Trusted = backuptest.NewKeys(t).Trusted },
	} {
		h := newHouse(t)
		spoil(&h.job)
		if _, err := backup.Take(t.Context(), h.job); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("Take = %v, want %q", err, name)
		}
		if n := len(h.memories[0].Objects()); n > 0 {
			t.Errorf("%s: %d objects were written", name, n)
		}
	}
}
