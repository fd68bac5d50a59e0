package restore

import (
	"encoding/json"
	"fmt"

	"gwdr/gateway"
)

// danglingShown bounds how many entities with lost references are named.
const danglingShown = 5

// dangling names restored routes and keys that refer to what will not be there: the point was taken so, or Only left
// the other kind out. It knows the references of the bundled gateway.
func dangling(s *gateway.State, restored func(gateway.Ref) bool) []Finding {
	var findings []Finding
	lost := 0
	for _, k := range []gateway.Kind{gateway.Route, gateway.Key} {
		for e := range s.Kind(k) {
			if !restored(e.Ref) {
				continue
			}
			for _, to := range references(e) {
				if _, ok := s.Get(to); ok {
					continue
				}
				if lost++; lost <= danglingShown {
					findings = append(findings, Finding{e.Ref.String(), fmt.Sprintf("refers to %s, which will not be there", to)})
				}
			}
		}
	}
	if lost > danglingShown {
		findings = append(findings, Finding{"references", fmt.Sprintf("%d more refer to what will not be there", lost-danglingShown)})
	}
	return findings
}

// references returns what the entity refers to by its body. A body that cannot be read refers to nothing.
func references(e gateway.Entity) []gateway.Ref {
	var body struct {
		Upstream string `json:"upstream"`
		Spec     string `json:"spec"`
		Consumer string `json:"consumer"`
	}
	if json.Unmarshal(e.Body, &body) != nil {
		return nil
	}
	var refs []gateway.Ref
	for _, to := range []struct {
		from, kind gateway.Kind
		id         string
	}{
		{gateway.Route, gateway.Upstream, body.Upstream},
		{gateway.Route, gateway.Spec, body.Spec},
		{gateway.Key, gateway.Consumer, body.Consumer},
	} {
		if to.from == e.Kind && to.id != "" {
			refs = append(refs, gateway.Ref{Kind: to.kind, ID: to.id})
		}
	}
	return refs
}
