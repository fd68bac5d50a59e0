package gateway

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// slow reads an entity's line with encoding/json alone.
func slow(line []byte) (Entity, error) {
	var l streamLine
	if err := decodeLine(line, &l); err != nil {
		return Entity{}, err
	}
	return l.entity()
}

// agree fails unless the fast path either leaves the line alone or reads what encoding/json reads.
func agree(t interface {
	Helper()
	Errorf(string, ...any)
}, line []byte) (wasFast bool) {
	t.Helper()
	var d entityDecoder
	got, ok := d.decode(line)
	if !ok {
		return false
	}
	want, err := slow(line)
	if err != nil || got.Ref != want.Ref || !bytes.Equal(got.Body, want.Body) {
		t.Errorf("%q: read %v %q, encoding/json %v %q, %v", line, got.Ref, got.Body, want.Ref, want.Body, err)
	}
	return true
}

// reference writes the line as encoding/json does, which is the format.
func reference(e Entity) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if e.Body == nil {
		e.Body = []byte{}
	}
	err := enc.Encode(struct {
		Kind Kind    `json:"kind"`
		ID   string  `json:"id"`
		Body *[]byte `json:"body"`
	}{e.Kind, e.ID, &e.Body})
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Whatever is written is what encoding/json would have written, and both ways of reading it agree.
func TestLinesAreThoseOfJSON(t *testing.T) {
	text := rapid.OneOf(rapid.StringMatching(`[a-z0-9/:{}_.-]{1,20}`), rapid.String(), rapid.SampledFrom([]string{"<&>", `"`, `\`, "\u2028", "\u2029", "\ufffd", "ü", "a\xff", "\u0080", "😀"}))
	rapid.Check(t, func(t *rapid.T) {
		e := Entity{Ref: Ref{Kind: rapid.OneOf(rapid.SampledFrom(Kinds()), rapid.Map(text, func(s string) Kind { return Kind(s) })).Draw(t, "kind"), ID: text.Draw(t, "id")},
			Body: rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 70), rapid.Just(bytes.Repeat([]byte("ab"), bodyPiece))).Draw(t, "body")}
		var out bytes.Buffer
		w := StreamWriter{W: &out}
		if err := w.Entity(e); err != nil {
			if e.Ref.wellFormed() == nil {
				t.Fatal(err)
			}
			return
		}
		if err := w.spill(0); err != nil {
			t.Fatal(err)
		}
		want := reference(e)
		if !bytes.Equal(out.Bytes(), want) {
			t.Fatalf("wrote %.200q, want %.200q", out.Bytes(), want)
		}
		plain := !bytes.Contains(want[:bytes.Index(want, []byte(bodyKey))], []byte{'\\'})
		if fast := agree(t, bytes.TrimSuffix(want, []byte("\n"))); fast != plain {
			t.Fatalf("fast path took %.200q: %v", want, fast)
		}
	})
}

var oddLines = []string{
	`{"kind":"route","id":"a","body":"e30="}`, `{"kind":"route","id":"a","body":""}`, `{"kind":"route","id":"a","body":"e3\u0030="}`,
	`{"kind":"route","id":"a","body":"e30="} `, ` {"kind":"route","id":"a","body":"e30="}`, `{"kind":"route","id":"a","body":"e30"}`,
	`{"kind":"route","id":"a","body":"e3` + "\r" + `0="}`, `{"kind":"route","id":"a","body":"e30=","body":"e30="}`, `{"kind":"route","id":"a","body":"e31="}`,
	`{"kind":"route","id":"a","body":"e3==e30="}`, `{"kind":"route","id":"a","body":"====","end":true}`, `{"kind":"ro\u0075te","id":"a","body":"e30="}`,
	`{"kind":"route","id":"a` + "\xff" + `","body":"e30="}`, `{"kind":"route","id":"` + "\x01" + `","body":"e30="}`, `{"kind":"route","id":"` + "\x7f" + `","body":"e30="}`,
	`{"kind":"route","id":"` + "\ufffd" + `","body":"e30="}`, `{"kind":"","id":"","body":"e30="}`, `{"id":"a","kind":"route","body":"e30="}`,
	`{"kind":"route","id":"a","body":null}`, `{"kind":"route","id":"a","body":"e30="}}`, `{"kind":"route","id":"a","body":"e30="`, `{"kind":"route","id":"a\","body":"e30="}`,
	`{"kind":"route","id":"a\\","body":"e30="}`, `{"kind":"gadget","id":"` + strings.Repeat("x", 600) + `","body":"AAAA"}`,
}

func TestOddLines(t *testing.T) {
	for _, line := range oddLines {
		agree(t, []byte(line))
	}
}

// A few bytes changed in a line in canonical form never make the two ways of reading differ.
func TestDamagedLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := []byte(rapid.SampledFrom(oddLines[:3]).Draw(t, "line"))
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			line[rapid.IntRange(0, len(line)-1).Draw(t, "at")] = rapid.OneOf(rapid.Byte(), rapid.SampledFrom([]byte("\"\\=\r\n,:{}"))).Draw(t, "byte")
		}
		agree(t, line)
	})
}

func FuzzLine(f *testing.F) {
	for _, line := range oddLines {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) { agree(t, line) })
}
