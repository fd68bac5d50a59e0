package gateway_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

func TestParseTemplate(t *testing.T) {
	for path, want := range map[string]gateway.Template{
		"/":                              {Segments: []gateway.Segment{{""}}},
		"/orders/{id}":                   {Segments: []gateway.Segment{{"orders"}, {"", ""}}},
		"/orders/":                       {Segments: []gateway.Segment{{"orders"}, {""}}},
		"/{rest...}":                     {Rest: true},
		"/v1/{rest...}":                  {Segments: []gateway.Segment{{"v1"}}, Rest: true},
		"/jobs/{name}:cancel":            {Segments: []gateway.Segment{{"jobs"}, {"", ":cancel"}}},
		"/compare/{base}...{head}":       {Segments: []gateway.Segment{{"compare"}, {"", "...", ""}}},
		"/a%20b":                         {Segments: []gateway.Segment{{"a b"}}},
		"/#X-Amz-Target=A.B":             {Segments: []gateway.Segment{{""}}},
		"/users/{id}/pic?key={APIKEY}":   {Segments: []gateway.Segment{{"users"}, {"", ""}, {"pic"}}},
		"/at(index={i},name='{n}')/{+x}": {Segments: []gateway.Segment{{"at(index=", ",name='", "')"}, {"", ""}}},
	} {
		got, err := gateway.ParseTemplate(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", path, d)
		}
	}
}

func TestParseTemplateRefuses(t *testing.T) {
	for _, path := range []string{"", "orders", "/{", "/}", "/{}", "/a{b{c}}", "/{rest...}/more", "/x{rest...}", "/{a}{rest...}",
		"/%2f", "/%zz", "/a/../b", "/.", "/%2e%2E/b", "/a\x00"} {
		if got, err := gateway.ParseTemplate(path); err == nil {
			t.Errorf("%q is read as %v", path, got)
		}
	}
}

func TestSegmentMatch(t *testing.T) {
	for _, c := range []struct {
		segment string
		yes, no []string
	}{
		{"orders", []string{"orders"}, []string{"", "order", "Orders", "orders2"}},
		{"{id}", []string{"a", "a.b:c"}, []string{""}},
		{"{name}:cancel", []string{"a:cancel", ":cancel:cancel"}, []string{":cancel", "a:cancel2", "cancel"}},
		{"{a}...{b}", []string{"x...y", "......x", "a...b...c"}, []string{"...", "x...", "...y", "x..y"}},
		{"{a}{b}", []string{"xy", "xyz"}, []string{"x", ""}},
		{"v{a}.json", []string{"v1.json"}, []string{"v.json", "1.json", "v1json"}},
		{"ab{x}bc", []string{"abxbc"}, []string{"abc", "abbc"}},
	} {
		template, err := gateway.ParseTemplate("/" + c.segment)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range c.yes {
			if !template.Segments[0].Match(text) {
				t.Errorf("%s does not match %q", c.segment, text)
			}
		}
		for _, text := range c.no {
			if template.Segments[0].Match(text) {
				t.Errorf("%s matches %q", c.segment, text)
			}
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/orders/{id}", "7")
	f.Add("/{a}...{b}", "x...y...z")
	f.Add("/%41{x}b{y}", "AAbb")
	f.Fuzz(func(t *testing.T, path, text string) {
		template, err := gateway.ParseTemplate(path)
		if err != nil {
			return
		}
		for _, s := range template.Segments {
			if got := s.Match(text); got != naive(s, text) {
				t.Errorf("segment %q matches %q: %v", s, text, got)
			}
		}
	})
}

// naive tries every place for each literal.
func naive(s gateway.Segment, text string) bool {
	rest, ok := strings.CutPrefix(text, s[0])
	if !ok || len(s) == 1 {
		return ok && rest == ""
	}
	for i := 1; i <= len(rest); i++ {
		if naive(s[1:], rest[i:]) {
			return true
		}
	}
	return false
}

func TestSegmentValues(t *testing.T) {
	for template, texts := range map[string]map[string][]string{
		"/orders":        {"orders": nil, "other": nil},
		"/{id}":          {"7": {"7"}},
		"/v{a}.{b}.json": {"v1.2.json": {"1", "2"}, "v1.2.3.json": {"1", "2.3"}, "v..x.json": {".", "x"}, "v1.json": nil},
		"/{a}{b}":        {"xyz": {"x", "yz"}},
		"/{name}:cancel": {"a:cancel:cancel": {"a:cancel"}},
	} {
		parsed, err := gateway.ParseTemplate(template)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range texts {
			if diff := cmp.Diff(want, parsed.Segments[0].Values(text)); diff != "" {
				t.Errorf("%s of %s: %s", text, template, diff)
			}
		}
	}
}
