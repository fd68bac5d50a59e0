package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func collectChanges(read func(each func(Change) error) error) (all []Change, err error) {
	err = read(func(c Change) error { all = append(all, c); return nil })
	return all, err
}

// agreeOnChanges fails unless ReadChanges reads what encoding/json alone does, and as far.
func agreeOnChanges(t interface {
	Helper()
	Errorf(string, ...any)
}, text string) {
	t.Helper()
	got, err := collectChanges(func(each func(Change) error) error { return ReadChanges(strings.NewReader(text), each) })
	want, jsonErr := collectChanges(func(each func(Change) error) error { return readChanges(strings.NewReader(text), each) })
	if d := cmp.Diff(want, got); d != "" || (err == nil) != (jsonErr == nil) {
		t.Errorf("%q: %v, and by encoding/json %v %s", text, err, jsonErr, d)
	}
}

// Changes are the same whether they are written by hand or by encoding/json, and whichever of the two reads them.
func TestChangesAreThoseOfJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := drawBatch(t).Changes
		var byHand, byJSON bytes.Buffer
		err := WriteChanges(&byHand, changes)
		for _, c := range changes {
			text, jsonErr := json.MarshalIndent(c, "", rapid.SampledFrom([]string{"", " "}).Draw(t, "indent"))
			if jsonErr != nil && err == nil {
				t.Fatalf("%v: by encoding/json %v", c, jsonErr)
			}
			byJSON.Write(append(text, '\n'))
		}
		if err != nil {
			return
		}
		for _, text := range []string{byHand.String(), byJSON.String(), strings.TrimSpace(byHand.String()), byHand.String() + byJSON.String()} {
			agreeOnChanges(t, text)
		}
		got, err := collectChanges(func(each func(Change) error) error { return ReadChanges(&byHand, each) })
		if d := cmp.Diff(changes, got); err != nil || d != "" {
			t.Fatalf("%v %s", err, d)
		}
	})
}

func TestLongChanges(t *testing.T) {
	long := Change{Op: Create, Entity: Entity{Ref: Ref{Kind: Spec, ID: "s"}, Body: bytes.Repeat([]byte("x"), 3*streamBuffer)}}
	changes := []Change{long, {Op: Delete, Entity: Entity{Ref: Ref{Kind: Key, ID: "k"}}}, long}
	var text bytes.Buffer
	if err := WriteChanges(&text, changes); err != nil {
		t.Fatal(err)
	}
	got, err := collectChanges(func(each func(Change) error) error { return ReadChanges(&text, each) })
	if d := cmp.Diff(changes, got); err != nil || d != "" {
		t.Errorf("%v %s", err, d)
	}
}

func TestChangesEndWithTheFirstError(t *testing.T) {
	line, stop := `{"op":"delete","kind":"key","id":"k"}`+"\n", errors.New("stop")
	for _, text := range []string{line + line, strings.ReplaceAll(line+line, ",", ", ")} {
		calls := 0
		if err := ReadChanges(strings.NewReader(text), func(Change) error { calls++; return stop }); !errors.Is(err, stop) || calls != 1 {
			t.Errorf("%q: %v after %d", text, err, calls)
		}
	}
}

func FuzzReadChanges(f *testing.F) {
	for _, line := range oddBatches {
		if i := strings.Index(line, "["); i > 0 {
			f.Add(line[i+1:])
		}
	}
	f.Add("{\"op\":\"delete\",\"kind\":\"key\",\"id\":\"k\nl\"}")
	f.Add("\n{\"op\":\"delete\",\n\"kind\":\"key\",\"id\":\"k\"}{\"op\":\"delete\",\"kind\":\"key\",\"id\":\"l\"}\n\n")
	f.Fuzz(func(t *testing.T, text string) { agreeOnChanges(t, text) })
}
