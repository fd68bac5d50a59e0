package openapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"gwdr/gateway"
	"gwdr/gateway/contract"
	"gwdr/gateway/openapi"
	"gwdr/gateway/proxy"
)

// A request that is made as the document says reaches the route of its operation, for each operation of each document, all of them in
// one gateway.
func TestEveryOperationIsReachable(t *testing.T) {
	state := gateway.NewState(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "u"}, Body: []byte(`{"endpoints":[]}`)})
	docs, serves := corpus(t), map[string]string{} // the route of an operation that has none of its own
	for name, text := range docs {
		routes, skipped, err := imported(name).Routes(text)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, route := range routes {
			state.Put(route)
		}
		for _, s := range skipped {
			serves[name+" "+s.Operation] = s.Route
		}
	}
	var reached lastRoute
	g, err := proxy.New(proxy.Options{Access: slog.New(&reached)})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	if err := g.Load(gateway.Header{Store: "s", Revision: 1, Time: time.Now()}, state); err != nil {
		t.Fatal(err)
	}
	operations, shared := 0, 0
	for name, text := range docs {
		doc := parseAny(t, text)
		ops, err := openapi.Read(text)
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			operations++
			want := serves[name+" "+op.Method+" "+op.Key]
			if want == "" {
				want = fmt.Sprintf("%s:%s:%s", name, op.Method, op.Key)
			} else {
				shared++
			}
			req := doc.request(t, "/"+name, op)
			reached.id = ""
			g.ServeHTTP(httptest.NewRecorder(), req)
			if shortened := strings.HasPrefix(reached.id, want[:min(len(want), 400)]) && len(want) > gateway.MaxIDLength; reached.id != want && !shortened {
				t.Errorf("%s %s %v leads to %q, want %q", req.Method, req.URL, req.Header, reached.id, want)
			}
		}
	}
	t.Logf("%d documents, %d operations, %d of them by the route of an equal one; shadowed: %d", len(docs), operations, shared, len(g.Status().Shadowed))
	if shadowed := g.Status().Shadowed; len(shadowed) > 0 {
		t.Errorf("shadowed: %v", shadowed)
	}
}

func imported(name string) openapi.Import {
	return openapi.Import{Spec: name, Upstream: "u", Prefix: true, Auth: gateway.AuthNone}
}

// lastRoute is an access log that keeps the route of the last line.
type lastRoute struct{ id string }

func (l *lastRoute) Enabled(context.Context, slog.Level) bool { return true }
func (l *lastRoute) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lastRoute) WithGroup(string) slog.Handler            { return l }

func (l *lastRoute) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "route" {
			l.id = a.Value.String()
		}
		return true
	})
	return nil
}

// object is a document, or a part of it, read without what the importer knows.
type object map[string]any

func parseAny(t *testing.T, text []byte) object {
	t.Helper()
	var doc object
	if json.Unmarshal(text, &doc) != nil {
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
	}
	return doc
}

func (o object) at(key string) object {
	switch v := o[key].(type) {
	case map[string]any:
		return v
	case object:
		return v
	}
	return nil
}

func (o object) text(key string) string { s, _ := o[key].(string); return s }

// resolve follows a reference.
func (o object) resolve(part object) object {
	for range 5 {
		path, isRef := strings.CutPrefix(part.text("$ref"), "#/")
		if !isRef {
			break
		}
		part = o
		for _, step := range strings.Split(path, "/") {
			part = part.at(strings.NewReplacer("~1", "/", "~0", "~").Replace(step))
		}
	}
	return part
}

// request is the least that a client has to send for the operation.
func (o object) request(t *testing.T, prefix string, op openapi.Operation) *http.Request {
	t.Helper()
	item := o.at("paths").at(op.Key)
	described := item.at(strings.ToLower(op.Method))
	header, query, path := http.Header{}, url.Values{}, op.Path
	shared, _ := item["parameters"].([]any)
	own, _ := described["parameters"].([]any)
	for _, p := range append(append([]any{}, shared...), own...) {
		fields, _ := p.(map[string]any)
		o.fill(o.resolve(fields), op.Key, header, query, &path)
	}
	for {
		before, rest, open := strings.Cut(path, "{")
		_, after, closed := strings.Cut(rest, "}")
		if !open || !closed {
			break
		}
		path = before + "~x" + after
	}
	if _, given, inQuery := strings.Cut(op.Key, "?"); inQuery && len(query) == 0 {
		query, _ = url.ParseQuery(given)
	}
	for kind := range o.resolve(described.at("requestBody")).at("content") {
		header.Set("Content-Type", strings.ReplaceAll(kind, "*", "x"))
	}
	req, err := http.NewRequestWithContext(t.Context(), op.Method, "http://h.example"+prefix+path+"?"+query.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	return req
}

// fill puts a parameter where it belongs, if it must be there or the path's key names it.
func (o object) fill(p object, key string, header http.Header, query url.Values, path *string) {
	name, s := p.text("name"), o.resolve(p.at("schema"))
	if s == nil {
		s = p
	}
	value := "x"
	if enum, _ := s["enum"].([]any); len(enum) > 0 {
		value = fmt.Sprint(enum[0])
	}
	_, fragment, _ := strings.Cut(key, "#")
	named := false
	for _, part := range strings.Split(fragment, "&") {
		if n, v, exact := strings.Cut(part, "="); n == name {
			named = true
			if exact {
				value = v
			}
		}
	}
	required, _ := p["required"].(bool)
	switch in := p.text("in"); {
	case in == "path":
		if s.text("type") == "integer" {
			value = "7"
		} else if s.text("format") == "uuid" {
			value = "0190a1b2-0000-7000-8000-00000000000f"
		} else {
			value = "~x"
		}
		*path = strings.ReplaceAll(*path, "{"+name+"}", value)
	case !required && !named:
	case in == "header":
		header.Set(name, value)
	case in == "query":
		query.Set(name, value)
	}
}

// Requests of nearly all operations of real documents can be held against them, of the others it is said why not.
func TestRealDocumentsAsContracts(t *testing.T) {
	documents, operations, bound := 0, 0, 0
	why := map[string]int{}
	for name, text := range corpus(t) {
		routes, _, err := imported(name).Routes(text)
		if err != nil {
			t.Fatal(err)
		}
		operations += len(routes)
		d, err := contract.Compile(text)
		if err != nil {
			t.Logf("%s: %.300v", name, err)
			continue
		}
		documents++
		for _, route := range routes {
			var body gateway.RouteBody
			if err := gateway.Decode(route.Body, &body); err != nil {
				t.Fatal(err)
			}
			if _, err := d.Contract(name, &body); err != nil {
				_, reason, _ := strings.Cut(err.Error(), "cannot be validated: ")
				why[fmt.Sprintf("%.60s", reason[strings.LastIndex(reason, ": ")+1:])]++
				t.Logf("%s: %.300v", name, err)
				continue
			}
			bound++
		}
	}
	t.Logf("%d documents, %d of %d operations; %v", documents, bound, operations, why)
	if bound*100 < operations*95 {
		t.Errorf("only %d of %d operations can be validated", bound, operations)
	}
}
