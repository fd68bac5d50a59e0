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

// agreeOnBatch fails unless the fast path either leaves the line alone or reads what encoding/json reads.
func agreeOnBatch(t interface {
	Helper()
	Errorf(string, ...any)
}, line []byte) (wasFast bool) {
	t.Helper()
	got, ok := decodeBatch(line)
	if !ok {
		return false
	}
	var want watchLine
	err := decodeLine(line, &want)
	if d := cmp.Diff(watchLine{Batch: got}, want); err != nil || d != "" {
		t.Errorf("%q: %v %s", line, err, d)
	}
	return true
}

func drawBatch(t *rapid.T) Batch {
	b := Batch{Revision: rapid.Int64Range(1, 1<<62).Draw(t, "revision")}
	for range rapid.IntRange(0, 3).Draw(t, "changes") {
		c := Change{Op: rapid.SampledFrom([]Op{Create, Update, Delete}).Draw(t, "op"), Entity: Entity{Ref: Ref{
			Kind: rapid.SampledFrom(Kinds()).Draw(t, "kind"),
			ID:   rapid.OneOf(rapid.StringMatching(`[a-z0-9/:{}<&> -]{1,20}`), rapid.String()).Draw(t, "id"),
		}}}
		if c.Op != Delete {
			c.Entity.Body = append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "body")...)
		}
		b.Changes = append(b.Changes, c)
	}
	return b
}

// A batch says the same whether it is written by hand or by encoding/json, and whichever of the two reads it.
func TestBatchesAreThoseOfJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBatch(t)
		line, err := b.AppendLine(nil)
		text, jsonErr := json.Marshal(b)
		if (err == nil) != (jsonErr == nil) {
			t.Fatalf("by hand %v, by encoding/json %v", err, jsonErr)
		}
		if err != nil {
			return
		}
		for _, line := range [][]byte{bytes.TrimSuffix(line, []byte("\n")), text} {
			if fast := agreeOnBatch(t, line); fast == bytes.Contains(line, []byte{'\\'}) {
				t.Fatalf("fast path took %q: %v", line, fast)
			}
			got, err := readBatch(newLineReader(bytes.NewReader(line)))
			if d := cmp.Diff(watchLine{Batch: b}, got); err != nil || d != "" {
				t.Fatalf("%q: %v %s", line, err, d)
			}
		}
	})
}

var oddBatches = []string{
	`{"revision":7}`, `{"revision":7,"changes":[{"op":"create","kind":"key","id":"k","body":"e30="},{"op":"delete","kind":"key","id":"l"}]}`,
	`{"revision":7,"changes":[]}`, `{"revision":+7}`, `{"revision":07}`, `{"revision":7.0}`, `{"revision":7e0}`, `{"revision":}`, `{"revision":99999999999999999999}`,
	`{"revision":7,"changes":null}`, `{"revision":7,"end":true}`, `{"end":true,"revision":7}`, `{"revision":-7}`, `{"revision":7,"changes":[{"op":"put","kind":"key","id":"k","body":""}]}`,
	`{"revision":7,"changes":[{"op":"delete","kind":"key","id":"k","body":""}]}`, `{"revision":7,"changes":[{"op":"update","kind":"key","id":"k"}]}`,
	`{"revision":7,"changes":[{"op":"update","kind":"key","id":"k","body":"e3` + "\n" + `0="}]}`, `{"revision":7}}`,
}

func FuzzBatch(f *testing.F) {
	for _, line := range oddBatches {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) { agreeOnBatch(t, line) })
}

// readWatch returns the batches of a watch with the given lines after its header.
func readWatch(lines ...string) (batches []Batch, end int64, err error) {
	text := `{"store":"a","revision":1}` + "\n" + strings.Join(lines, "\n")
	end, err = ReadWatch(strings.NewReader(text), func(Header) error { return nil }, func(b Batch) error { batches = append(batches, b); return nil })
	return batches, end, err
}

func TestReadWatch(t *testing.T) {
	change, end := `{"revision":5,"changes":[{"op":"delete","kind":"key","id":"l"}]}`, `{"end":true,"revision":9}`
	if got, at, err := readWatch(`{"revision":4}`, change, end, ""); err != nil || at != 9 || len(got) != 2 || len(got[1].Changes) != 1 {
		t.Errorf("%+v until %d, %v", got, at, err)
	}
	for name, lines := range map[string][]string{
		"no end": {change}, "cut": {change, end[:len(end)-1]}, "nothing": nil,
	} {
		if _, _, err := readWatch(lines...); !errors.Is(err, ErrTorn) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, lines := range map[string][]string{
		"after the end": {end, change}, "backwards": {change, `{"revision":4}`}, "an end before": {change, `{"end":true,"revision":4}`},
		"changes at the end": {`{"end":true,` + change[1:]}, "no JSON": {"hello"},
	} {
		if _, _, err := readWatch(lines...); err == nil || errors.Is(err, ErrTorn) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ReadWatch(strings.NewReader(change), func(Header) error { return nil }, nil); err == nil {
		t.Error("a watch without a header was read")
	}
}
