package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// values draws what JSON can say, up to a depth.
func values(depth int) *rapid.Generator[any] {
	text := rapid.OneOf(rapid.StringMatching(`[a-z "\\/]{0,8}`), rapid.SampledFrom([]string{"", "ü", "😀", "\u2028", "\ufffd", "<&>", "1", "null", "\x00\n"}))
	leaf := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
		rapid.Map(rapid.Int64(), func(n int64) any { return json.Number(strconv.FormatInt(n, 10)) }),
		rapid.Custom(func(t *rapid.T) any {
			return json.Number(fmt.Sprintf("%d.%de%d", rapid.IntRange(-99, 99).Draw(t, "whole"), rapid.IntRange(0, 999).Draw(t, "fraction"),
				rapid.IntRange(-40, 40).Draw(t, "exponent")))
		}),
	)
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf,
		rapid.Map(rapid.SliceOfN(values(depth-1), 0, 4), func(list []any) any { return append([]any{}, list...) }),
		rapid.Map(rapid.MapOfN(text, values(depth-1), 0, 4), func(m map[string]any) any { return m }))
}

// write spells the value as anybody might: keys in any order, any space, any escapes, any spelling of a number.
func write(t *rapid.T, b *strings.Builder, value any) {
	space := func() { b.WriteString(rapid.SampledFrom([]string{"", " ", "\n\t"}).Draw(t, "space")) }
	space()
	switch v := value.(type) {
	case map[string]any:
		b.WriteString("{")
		for i, key := range rapid.Permutation(slices.Sorted(maps.Keys(v))).Draw(t, "keys") {
			if i > 0 {
				b.WriteString(",")
			}
			space()
			writeText(t, b, key)
			space()
			b.WriteString(":")
			write(t, b, v[key])
		}
		b.WriteString("}")
	case []any:
		b.WriteString("[")
		for i, item := range v {
			if i > 0 {
				b.WriteString(",")
			}
			write(t, b, item)
		}
		b.WriteString("]")
	case string:
		writeText(t, b, v)
	case json.Number:
		b.WriteString(respell(t, v.String()))
	default:
		b.Write(Encode(v))
	}
	space()
}

func writeText(t *rapid.T, b *strings.Builder, text string) {
	b.WriteString(`"`)
	for _, r := range text {
		switch escape := rapid.IntRange(0, 3).Draw(t, "escape") == 0; {
		case r < 0x20 || r == '"' || r == '\\' || escape && r < 0x10000:
			fmt.Fprintf(b, `\u%04x`, r)
		case escape:
			fmt.Fprintf(b, `\u%04X\u%04X`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString(`"`)
}

// respell moves the point of a number, or adds zeros.
func respell(t *rapid.T, number string) string {
	mantissa, exponent, scientific := strings.Cut(number, "e")
	e := 0
	if scientific {
		e, _ = strconv.Atoi(exponent)
	}
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	shift := rapid.IntRange(0, 3).Draw(t, "shift")
	whole, fraction, _ := strings.Cut(mantissa+"000", ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	whole = strings.TrimLeft(whole+fraction[:shift], "0")
	if whole == "" {
		whole = "0"
	}
	return fmt.Sprintf("%s%s.%s%s%+d", sign, whole, fraction[shift:]+"0", rapid.SampledFrom([]string{"e", "E"}).Draw(t, "e"), e-shift)
}

// same compares values as numbers and texts, without the code under test.
func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for key := range x {
			if other, there := y[key]; !there || !same(x[key], other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case json.Number:
		y, ok := b.(json.Number)
		if !ok {
			return false
		}
		p, _ := new(big.Rat).SetString(x.String())
		q, _ := new(big.Rat).SetString(y.String())
		return p.Cmp(q) == 0
	}
	return a == b
}

// However a value is spelled, it is the same, and stays what it is.
func TestCanonicalIgnoresSpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := values(3).Draw(t, "value")
		var a, b strings.Builder
		write(t, &a, value)
		write(t, &b, value)
		kind := rapid.SampledFrom([]Kind{Spec, Setting, Cert, "plugin"}).Draw(t, "kind")
		if !SameContent(kind, []byte(a.String()), []byte(b.String())) {
			t.Fatalf("%s differs from %s", &a, &b)
		}
		canonical, ok := Canonical(kind, []byte(a.String()))
		again, okAgain := Canonical(kind, canonical)
		if !ok || !okAgain || !bytes.Equal(canonical, again) {
			t.Fatalf("%s: canonical %s, then %s", &a, canonical, again)
		}
		read, err := readJSON(canonical)
		if err != nil || !same(value, read) {
			t.Fatalf("%s became %s: %v", &a, canonical, err)
		}
	})
}

// Another value is never the same.
func TestCanonicalSeesChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before, after := values(3).Draw(t, "before"), values(3).Draw(t, "after")
		if rapid.Bool().Draw(t, "small") {
			after = changed(t, before)
		}
		var a, b strings.Builder
		write(t, &a, before)
		write(t, &b, after)
		if got := SameContent(Spec, []byte(a.String()), []byte(b.String())); got != same(before, after) {
			t.Fatalf("%s and %s are the same: %v", &a, &b, got)
		}
	})
}

// changed replaces one thing somewhere in the value.
func changed(t *rapid.T, value any) any {
	switch v := value.(type) {
	case []any:
		if len(v) > 0 {
			v, i := slices.Clone(v), rapid.IntRange(0, len(v)-1).Draw(t, "item")
			v[i] = changed(t, v[i])
			return v
		}
	case map[string]any:
		if len(v) > 0 {
			copied, key := maps.Clone(v), rapid.SampledFrom(slices.Sorted(maps.Keys(v))).Draw(t, "key")
			copied[key] = changed(t, v[key])
			return copied
		}
	}
	return values(0).Draw(t, "leaf")
}

// Canonical is final of whatever it reads, of every kind, and never fails.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"x",null]}`, "a: 1\nb: &x [~]\nc: *x", `{"endpoints":[{"url":"http://a:1"}],"health":{"path":"/"}}`, `"\ud83d"`,
		`{"hosts":["A."],"timeout":"90s","expires":"2027-01-01T01:00:00+01:00"}`, "- 0x1f\n- 1_0.5e3", "<<: {a: 1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, k := range Kinds() {
			canonical, ok := Canonical(k, body)
			if !ok {
				continue
			}
			if again, ok := Canonical(k, canonical); !ok || !bytes.Equal(canonical, again) {
				t.Errorf("%s %q: canonical %q, then %q", k, body, canonical, again)
			}
			if !SameContent(k, body, canonical) {
				t.Errorf("%s %q differs from its canonical %q", k, body, canonical)
			}
		}
	})
}
