package gateway_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

func TestDigestIsAsDocumented(t *testing.T) {
	s := gateway.NewState(entity(gateway.Route, "b", "2"), entity(gateway.Key, "c", "3"), entity(gateway.Route, "a", "1"),
		entity("plugin", "d", "4"))
	var text string
	for _, e := range []gateway.Entity{entity(gateway.Key, "c", "3"), entity(gateway.Route, "a", "1"),
		entity(gateway.Route, "b", "2"), entity("plugin", "d", "4")} {
		text += fmt.Sprintf("%s\x00%s\x00%x\n", e.Kind, e.ID, sha256.Sum256(e.Body))
	}
	sum := sha256.Sum256([]byte(text))
	if want := hex.EncodeToString(sum[:]); s.Digest() != want {
		t.Errorf("digest is %s, want %s", s.Digest(), want)
	}
}

func TestRevocationsComeBeforeKeys(t *testing.T) {
	s := gateway.NewState()
	for _, k := range slices.Backward(gateway.Kinds()) {
		s.Put(entity(k, "x", "{}"))
	}
	var order []gateway.Kind
	for e := range s.All() {
		order = append(order, e.Kind)
	}
	if d := cmp.Diff(gateway.Kinds(), order); d != "" {
		t.Error(d)
	}
	if slices.Index(order, gateway.Revocation) > slices.Index(order, gateway.Key) {
		t.Error("a restored key would be alive for a moment")
	}
}

func TestKindYieldsItsOwnInOrder(t *testing.T) {
	s := gateway.NewState(entity(gateway.Route, "b", ""), entity(gateway.Key, "k", ""), entity(gateway.Route, "a", ""))
	var got []string
	for e := range s.Kind(gateway.Route) {
		got = append(got, e.ID)
	}
	if d := cmp.Diff([]string{"a", "b"}, got); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[gateway.Kind]int{gateway.Route: 2, gateway.Key: 1}, s.Counts()); d != "" {
		t.Error(d)
	}
}

// randomState draws from few ids, so that two states share some.
func randomState(r *rand.Rand) *gateway.State {
	s := gateway.NewState()
	kinds := append(gateway.Kinds(), "plugin")
	for range r.IntN(30) {
		s.Put(entity(kinds[r.IntN(len(kinds))], fmt.Sprint(r.IntN(6)), fmt.Sprint(r.IntN(3))))
	}
	return s
}

// TestClonesAreApart: whatever is written to a State is seen in no clone of it, nor the other way round, be it few entities or many.
func TestClonesAreApart(t *testing.T) {
	type twin struct {
		state *gateway.State
		model map[gateway.Ref]string
	}
	r := rand.New(rand.NewPCG(1, 2))
	first := twin{gateway.NewState(), map[gateway.Ref]string{}}
	for i := range 4090 { // so that it becomes many on the way
		ref := gateway.Ref{Kind: gateway.Key, ID: fmt.Sprint(i)}
		first.state.Put(gateway.Entity{Ref: ref, Body: []byte("0")})
		first.model[ref] = "0"
	}
	twins := []twin{first}
	for step := range 3000 {
		w := twins[r.IntN(len(twins))]
		ref := gateway.Ref{Kind: gateway.Kinds()[r.IntN(3)+5], ID: fmt.Sprint(r.IntN(8000))}
		switch {
		case r.IntN(300) == 0:
			twins = append(twins, twin{w.state.Clone(), maps.Clone(w.model)})
		case r.IntN(3) == 0:
			w.state.Delete(ref)
			delete(w.model, ref)
		default:
			w.state.Put(gateway.Entity{Ref: ref, Body: fmt.Append(nil, step)})
			w.model[ref] = fmt.Sprint(step)
		}
	}
	for i, w := range twins {
		got := map[gateway.Ref]string{}
		for e := range w.state.Unordered() {
			got[e.Ref] = string(e.Body)
		}
		var sorted []gateway.Ref
		for e := range w.state.All() {
			sorted = append(sorted, e.Ref)
		}
		inOrder := slices.IsSortedFunc(sorted, gateway.Ref.Compare)
		if !maps.Equal(got, w.model) || len(sorted) != len(w.model) || !inOrder || w.state.Len() != len(w.model) {
			t.Errorf("state %d of %d holds %d entities, of %d; sorted %v", i, len(twins), w.state.Len(), len(w.model), inOrder)
		}
	}
	if len(twins) < 5 {
		t.Errorf("only %d states", len(twins))
	}
}

func TestDiffLeadsFromOneStateToTheOther(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 0))
		from, to := randomState(r), randomState(r)
		before := from.Digest()
		changes := gateway.Diff(from, to)
		if from.Digest() != before {
			t.Fatalf("seed %d: Diff altered its argument", seed)
		}
		got := from.Clone()
		for _, c := range changes {
			checkStep(t, got, c)
			got.Apply(c)
		}
		if got.Digest() != to.Digest() {
			t.Fatalf("seed %d: %v leads elsewhere", seed, changes)
		}
		if again := gateway.Diff(got, to); len(again) != 0 {
			t.Fatalf("seed %d: equal states differ by %v", seed, again)
		}
		checkOrder(t, changes)
	}
}

func checkStep(t *testing.T, s *gateway.State, c gateway.Change) {
	t.Helper()
	old, there := s.Get(c.Entity.Ref)
	if there != (c.Op != gateway.Create) || string(old) != string(c.Old) {
		t.Fatalf("%s of %s: entity is there: %v, body %q, want %q", c.Op, c.Entity.Ref, there, old, c.Old)
	}
}

func checkOrder(t *testing.T, changes []gateway.Change) {
	t.Helper()
	deletes := slices.IndexFunc(changes, func(c gateway.Change) bool { return c.Op == gateway.Delete })
	if deletes < 0 {
		deletes = len(changes)
	}
	byRef := func(a, b gateway.Change) int { return a.Entity.Ref.Compare(b.Entity.Ref) }
	if !slices.IsSortedFunc(changes[:deletes], byRef) {
		t.Fatalf("creates and updates are not in reference order: %v", changes)
	}
	if !slices.IsSortedFunc(changes[deletes:], func(a, b gateway.Change) int { return byRef(b, a) }) {
		t.Fatalf("deletes are not last in reverse order: %v", changes)
	}
}

func TestRefValidate(t *testing.T) {
	for _, r := range []gateway.Ref{{}, {Kind: "plugin", ID: "a"}, {Kind: gateway.Route}, {Kind: gateway.Route, ID: "a\nb"},
		{Kind: gateway.Route, ID: "\xff"}, {Kind: gateway.Route, ID: string(make([]byte, 513))}} {
		if r.Validate() == nil {
			t.Errorf("%q passes", r.String())
		}
	}
	if err := (gateway.Ref{Kind: gateway.Route, ID: "GET /orders/{id} ü"}).Validate(); err != nil {
		t.Error(err)
	}
}

func large() *gateway.State {
	s := gateway.NewState()
	for i := range 100_000 {
		s.Put(entity(gateway.Key, fmt.Sprintf("%016x", i*7919), `{"hash":"`+fmt.Sprintf("%064x", i)+`"}`))
	}
	for i := range 10_000 {
		s.Put(entity(gateway.Route, fmt.Sprintf("route-%d", i), `{"path":"/orders/{id}","upstream":"echo"}`))
	}
	return s
}

func BenchmarkDigest(b *testing.B) {
	s := large()
	for b.Loop() {
		s.Digest()
	}
}

func BenchmarkDiff(b *testing.B) {
	from, to := large(), large()
	for b.Loop() {
		gateway.Diff(from, to)
	}
}
