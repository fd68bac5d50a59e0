package restore

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"gwdr/gateway"
)

// danglingShown bounds how many entities with lost references are named.
const danglingShown = 5

// dangling names restored routes and keys that refer to what will not be there: the point was taken so, or Only left
// the other kind out. It knows the references of the bundled gateway.
func dangling(s *gateway.State, restored func(gateway.Ref) bool) []Finding {
	type reference struct{ from, to gateway.Ref }
	var lost []reference
	for e := range s.Unordered() {
		for _, to := range references(e) {
			if _, ok := s.Get(to); !ok && restored(e.Ref) {
				lost = append(lost, reference{e.Ref, to})
			}
		}
	}
	slices.SortFunc(lost, func(a, b reference) int { return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to)) })
	var findings []Finding
	for _, l := range lost[:min(len(lost), danglingShown)] {
		findings = append(findings, Finding{l.from.String(), fmt.Sprintf("refers to %s, which will not be there", l.to)})
	}
	if more := len(lost) - danglingShown; more > 0 {
		findings = append(findings, Finding{"references", fmt.Sprintf("%d more refer to what will not be there", more)})
	}
	return findings
}

// references returns what the entity refers to by its body. A body that cannot be read refers to nothing.
func references(e gateway.Entity) (refs []gateway.Ref) {
	add := func(kind gateway.Kind, id string) {
		if id != "" {
			refs = append(refs, gateway.Ref{Kind: kind, ID: id})
		}
	}
	switch e.Kind {
	case gateway.Route:
		var body gateway.RouteBody
		if json.Unmarshal(e.Body, &body) == nil {
			add(gateway.Upstream, body.Upstream)
			add(gateway.Spec, body.Spec)
		}
	case gateway.Key:
		if body, err := readKey(e.Body); err == nil {
			add(gateway.Consumer, body.Consumer)
		}
	}
	return refs
}
