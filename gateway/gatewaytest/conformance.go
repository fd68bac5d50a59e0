package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gwdr/gateway"
)

// TestTarget is the conformance suite: every driver of a gateway runs it. start returns a target that holds no entities
// and takes writes, and ends it with the test. The suite uses the kinds of the bundled gateway. A target that is a
// gateway.Streamer, a gateway.Tracker or a Forgetter is tested as such, too.
func TestTarget(t *testing.T, start func(t *testing.T) gateway.Target) {
	for name, test := range map[string]func(t *testing.T, target gateway.Target){
		"empty":      testEmpty,
		"verbatim":   testVerbatim,
		"changes":    testChanges,
		"large":      testLarge,
		"nothing":    testApplyNothing,
		"failure":    testFailure,
		"consistent": testConsistent,
		"cancelled":  testCancelled,
	} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
	TestAbilities(t, start)
}

func testEmpty(t *testing.T, target gateway.Target) {
	before := time.Now().Add(-time.Minute)
	e := export(t, target)
	if e.State.Len() != 0 {
		t.Errorf("a new gateway holds %v", e.State.Counts())
	}
	if e.Store == "" {
		t.Error("the export names no store")
	}
	if e.Time.Before(before) || e.Time.Location() != time.UTC {
		t.Errorf("the export's time is %v, want now in UTC", e.Time)
	}
}

// testVerbatim: a body comes back byte for byte, whatever it and the id look like.
func testVerbatim(t *testing.T, target gateway.Target) {
	want := gateway.NewState(Sample()...)
	if err := target.Apply(t.Context(), gateway.Diff(gateway.NewState(), want)); err != nil {
		t.Fatal(err)
	}
	sameState(t, export(t, target).State, want)
}

func testChanges(t *testing.T, target gateway.Target) {
	first := gateway.NewState(Sample()...)
	if err := target.Apply(t.Context(), gateway.Diff(gateway.NewState(), first)); err != nil {
		t.Fatal(err)
	}
	before := export(t, target)
	second := first.Clone()
	second.Delete(gateway.Ref{Kind: gateway.Route, ID: "orders"})
	second.Delete(gateway.Ref{Kind: gateway.Key, ID: "0123456789abcdef"})
	second.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "echo"}, Body: []byte(`{"endpoints":[{"url":"http://127.0.0.1:9"}]}`)})
	second.Put(route("items", "echo"))
	if err := target.Apply(t.Context(), gateway.Diff(first, second)); err != nil {
		t.Fatal(err)
	}
	after := export(t, target)
	sameState(t, after.State, second)
	if after.Revision <= before.Revision {
		t.Errorf("revision went from %d to %d over a change", before.Revision, after.Revision)
	}
	if after.Store != before.Store {
		t.Errorf("store id went from %s to %s over a change", before.Store, after.Store)
	}
}

// testLarge applies more than any gateway takes in one step.
func testLarge(t *testing.T, target gateway.Target) {
	want := gateway.NewState(Sample()...)
	for i := range 5000 {
		want.Put(route(fmt.Sprintf("r%04d", i), "echo"))
	}
	if err := target.Apply(t.Context(), gateway.Diff(gateway.NewState(), want)); err != nil {
		t.Fatal(err)
	}
	sameState(t, export(t, target).State, want)
	if err := target.Apply(t.Context(), gateway.Diff(want, gateway.NewState())); err != nil {
		t.Fatal(err)
	}
	sameState(t, export(t, target).State, gateway.NewState())
}

func testApplyNothing(t *testing.T, target gateway.Target) {
	if err := target.Apply(t.Context(), nil); err != nil {
		t.Fatalf("apply no changes: %v", err)
	}
	sameState(t, export(t, target).State, gateway.NewState())
}

// testFailure: a change that cannot be made fails the Apply, and what the error says was made was made, no more, no less.
func testFailure(t *testing.T, target gateway.Target) {
	want := gateway.NewState(Sample()...)
	changes := gateway.Diff(gateway.NewState(), want)
	for i := range 2500 {
		changes = append(changes, gateway.Change{Op: gateway.Create, Entity: route(fmt.Sprintf("r%04d", i), "echo")})
	}
	changes = append(changes, gateway.Change{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route}, Body: []byte(`{}`)}})
	err := target.Apply(t.Context(), changes)
	if err == nil {
		t.Fatal("a route without an id was applied")
	}
	made := gateway.NewState()
	if partial := (*gateway.PartialError)(nil); errors.As(err, &partial) {
		for _, c := range changes[:partial.Applied] {
			made.Apply(c)
		}
	}
	sameState(t, export(t, target).State, made)
}

// testConsistent: an export shows one revision. A writer counts up in one entity, then in another; no export may show
// the second ahead of the first, or far behind it.
func testConsistent(t *testing.T, target gateway.Target) {
	first, second := gateway.Ref{Kind: gateway.Setting, ID: "z"}, gateway.Ref{Kind: gateway.Setting, ID: "a"}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for n := 0; ; n++ {
			for _, ref := range []gateway.Ref{first, second} {
				if ctx.Err() != nil {
					done <- nil
					return
				}
				body := []byte(`{"n":` + strings.Repeat("1", n%50+1) + `}`)
				op := gateway.Create
				if n > 0 {
					op = gateway.Update
				}
				if err := target.Apply(context.WithoutCancel(ctx), []gateway.Change{{Op: op, Entity: gateway.Entity{Ref: ref, Body: body}}}); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	for range 20 {
		e := export(t, target)
		a, _ := e.State.Get(first)
		b, _ := e.State.Get(second)
		if ahead := len(a) - len(b); b != nil && ahead != 0 && ahead != 1 && ahead != -49 {
			t.Errorf("an export shows %s beside %s", a, b)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func testCancelled(t *testing.T, target gateway.Target) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := target.Export(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("export under a cancelled context: %v", err)
	}
	if err := target.Apply(ctx, gateway.Diff(gateway.NewState(), gateway.NewState(Sample()...))); !errors.Is(err, context.Canceled) {
		t.Errorf("apply under a cancelled context: %v", err)
	}
	sameState(t, export(t, target).State, gateway.NewState())
}

// Sample returns a small configuration with one of everything, and with ids and bodies that a careless driver garbles.
func Sample() []gateway.Entity {
	entity := func(k gateway.Kind, id, body string) gateway.Entity {
		return gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: []byte(body)}
	}
	created := `"created":"2026-01-02T03:04:05Z"`
	return []gateway.Entity{
		entity(gateway.Setting, "log", `{ "level" :"info","unknown":{"z":1,"a":[1e3,0.10]}}`),
		entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"http://127.0.0.1:1"}],"balance":"round-robin"}`),
		entity(gateway.Upstream, "a/b c%2F?&=ü\"\\..", "{\"endpoints\":[{\"url\":\"http://127.0.0.1:2\"}]}\n"),
		entity(gateway.Spec, "shop", `{"openapi":"3.1.0","x":"<&> \u00fc \ud83d\ude00"}`),
		entity(gateway.Spec, "yaml", "openapi: 3.1.0 # kept\ninfo:\n  title: \"Bücher\"\r\n"),
		entity(gateway.Spec, "large", `{"openapi":"3.1.0","x":"`+strings.Repeat("0123456789abcdef", 1<<17)+`"}`),
		entity(gateway.Consumer, "acme", `{"name":"Acme"}`),
		entity(gateway.Key, "0123456789abcdef", `{"consumer":"acme","hash":"`+strings.Repeat("0a", 32)+`","scopes":["read"],`+created+`}`),
		entity(gateway.Key, "fedcba9876543210", `{"consumer":"acme","hash":"`+strings.Repeat("0b", 32)+`",`+created+`}`),
		entity(gateway.Revocation, "fedcba9876543210", `{"at":"2026-02-03T04:05:06Z","reason":"leaked"}`),
		route("orders", "echo"),
	}
}

func route(id, upstream string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id},
		Body: gateway.Encode(gateway.RouteBody{Path: "/" + id, Upstream: upstream, Auth: gateway.AuthNone})}
}

func export(t *testing.T, source gateway.Source) *gateway.Export {
	t.Helper()
	e, err := source.Export(t.Context())
	if err != nil {
		t.Fatalf("export: %v", err)
	}
	return e
}

// sameState reports the first few entities in which the states differ.
func sameState(t *testing.T, got, want *gateway.State) {
	t.Helper()
	changes := gateway.Diff(got, want)
	if len(changes) == 0 && got.Digest() != want.Digest() {
		t.Error("equal entities, other digest")
	}
	for _, c := range changes[:min(len(changes), 10)] {
		switch {
		case c.Op == gateway.Create:
			t.Errorf("%s is not there", c.Entity.Ref)
		case c.Op == gateway.Delete:
			t.Errorf("%s should not be there", c.Entity.Ref)
		case !bytes.Equal(c.Old, c.Entity.Body):
			t.Errorf("%s is %.200q, want %.200q", c.Entity.Ref, c.Old, c.Entity.Body)
		}
	}
	if len(changes) > 10 {
		t.Fatalf("%d entities differ", len(changes))
	}
}
