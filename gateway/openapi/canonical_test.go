package openapi_test

import (
	"bytes"
	"encoding/json"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
	"gopkg.in/yaml.v3"

	"gwdr/gateway"
)

// Real documents say the same in JSON and in YAML, and something else once a word of them is changed.
func TestRealDocumentsInYAML(t *testing.T) {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for name, doc := range corpus(t) {
		group.Go(func() error {
			documentInYAML(t, name, doc)
			return nil
		})
	}
	_ = group.Wait() // t has the errors
}

func documentInYAML(t *testing.T, name string, doc []byte) {
	canonical, ok := gateway.Canonical(gateway.Spec, doc)
	if !ok {
		t.Errorf("%s is not read", name)
		return
	}
	var value map[string]any
	dec := json.NewDecoder(bytes.NewReader(canonical))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	inYAML, err := yaml.Marshal(asYAML(value))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if again, ok := gateway.Canonical(gateway.Spec, inYAML); !ok || !bytes.Equal(canonical, again) {
		t.Errorf("%s drifts in YAML", name)
	}
	changed := bytes.Replace(canonical, []byte(`"description":"`), []byte(`"description":"!`), 1)
	if again, ok := gateway.Canonical(gateway.Spec, changed); !ok || !bytes.Equal(again, changed) {
		t.Errorf("%s: a change is not seen", name)
	}
}

// asYAML makes up for what yaml.v3 cannot write: it takes a json.Number for text, and loses a newline at the beginning.
func asYAML(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key := range v {
			v[key] = asYAML(v[key])
		}
	case []any:
		for i := range v {
			v[i] = asYAML(v[i])
		}
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: v.String()}
	case string:
		if strings.HasPrefix(v, "\n") {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: v}
		}
	}
	return value
}
