package restore

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gwdr/gateway"
)

// Match picks entities: of one kind, or of all, by their ids.
type Match struct {
	kind gateway.Kind // empty: any
	id   *regexp.Regexp
}

// ParseMatch reads KIND:PATTERN, such as route:orders-*, or a PATTERN for all kinds. In it, * stands for any characters and ?
// for one. Kinds may be in the plural.
func ParseMatch(text string) (Match, error) {
	kind, pattern, ok := strings.Cut(text, ":")
	if !ok {
		kind, pattern = "", text
	}
	m := Match{kind: gateway.Kind(strings.TrimSuffix(strings.ToLower(kind), "s"))}
	if ok && !slices.Contains(gateway.Kinds(), m.kind) {
		return m, fmt.Errorf("%q: %q is none of the gateway's kinds", text, kind)
	}
	if pattern == "" {
		return m, fmt.Errorf("%q has no pattern: want KIND:PATTERN, such as route:orders-*", text)
	}
	quoted := strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(pattern))
	m.id = regexp.MustCompile(`(?s)^` + quoted + `$`)
	return m, nil
}

func (m Match) matches(ref gateway.Ref) bool {
	return (m.kind == "" || m.kind == ref.Kind) && m.id.MatchString(ref.ID)
}

// picker says what of a state is meant.
type picker struct {
	only  []gateway.Kind // none means all. Key brings Revocation along
	match []Match        // of these, the entities that one of them matches; none means all
}

// picks reports whether the entity is meant. A key brings its revocation along.
func (p picker) picks(ref gateway.Ref) bool {
	if !p.picksKind(ref.Kind) {
		return false
	}
	return len(p.match) == 0 || slices.ContainsFunc(p.match, func(m Match) bool {
		return m.matches(ref) || ref.Kind == gateway.Revocation && m.matches(gateway.Ref{Kind: gateway.Key, ID: ref.ID})
	})
}

// picksKind reports whether any entity of the kind may be.
func (p picker) picksKind(k gateway.Kind) bool {
	only := len(p.only) == 0 || slices.Contains(p.only, k) || k == gateway.Revocation && slices.Contains(p.only, gateway.Key)
	return only && (len(p.match) == 0 || slices.ContainsFunc(p.match, func(m Match) bool {
		return m.kind == "" || m.kind == k || k == gateway.Revocation && m.kind == gateway.Key
	}))
}
