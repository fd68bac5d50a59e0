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

// picks reports whether the entity is to be restored, as far as Only and Match say. A key brings its revocation along.
func (r *Restore) picks(ref gateway.Ref) bool {
	if !r.picksKind(ref.Kind) {
		return false
	}
	return len(r.Match) == 0 || slices.ContainsFunc(r.Match, func(m Match) bool {
		return m.matches(ref) || ref.Kind == gateway.Revocation && m.matches(gateway.Ref{Kind: gateway.Key, ID: ref.ID})
	})
}

// picksKind reports whether any entity of the kind may be.
func (r *Restore) picksKind(k gateway.Kind) bool {
	only := len(r.Only) == 0 || slices.Contains(r.Only, k) || k == gateway.Revocation && slices.Contains(r.Only, gateway.Key)
	return only && (len(r.Match) == 0 || slices.ContainsFunc(r.Match, func(m Match) bool {
		return m.kind == "" || m.kind == k || k == gateway.Revocation && m.kind == gateway.Key
	}))
}
