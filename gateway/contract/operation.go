package contract

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"gwdr/gateway"
	"gwdr/gateway/openapi"
)

// Contract is what requests of one route have to be like.
type Contract struct {
	operations map[string][]*operation // by method; a request must be as one of them wants
}

// operation is one of a document, ready to check requests of a route.
type operation struct {
	route  routers.Route
	params []param
	words  func() map[string]bool // names of properties in its schemas

	branches func() bool // what hasBranches says
	newer    bool        // it is of version 3.1 or later

	modern map[*openapi3.Schema]*judge // what judges values in place of a schema that refuses them all
}

// param is a parameter of the path.
type param struct {
	name    string
	segment int // of the request's path
	at      int // which one of the segment's
	of      gateway.Segment
}

// Contract returns what requests of the route have to be like. The route must name its methods, and each must have an operation at
// its path, as an import gives it: with or without /SPEC before, and with the same match.
func (d *Document) Contract(spec string, b *gateway.RouteBody) (c *Contract, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			c, err = nil, fmt.Errorf("compile operation: %v", cause)
		}
	}()
	if len(b.Methods) == 0 {
		return nil, errors.New("a route that validates requests must name its methods")
	}
	c = &Contract{map[string][]*operation{}}
	for _, method := range b.Methods {
		operations, before := d.find(spec, method, b)
		if len(operations) == 0 {
			return nil, fmt.Errorf("spec %q has no operation %s %s with the match of the route", spec, method, b.Path)
		}
		for _, op := range operations {
			compiled, err := d.compile(op, before)
			if err != nil {
				return nil, fmt.Errorf("%s %s of the spec cannot be validated: %w", op.Method, op.Key, err)
			}
			c.operations[method] = append(c.operations[method], compiled)
		}
	}
	return c, nil
}

// find returns the operations whose requests are the route's, and how many segments these have before the operations' path.
func (d *Document) find(spec, method string, b *gateway.RouteBody) (operations []openapi.Operation, before int) {
	if found := d.operations[keyOf(method, b.Path, b.Match)]; len(found) > 0 {
		return found, 0
	}
	prefix := openapi.Import{Spec: spec, Prefix: true}.Path(openapi.Operation{})
	path, prefixed := strings.CutPrefix(b.Path, prefix)
	if !prefixed {
		return nil, 0
	}
	return d.operations[keyOf(method, path, b.Match)], strings.Count(prefix, "/")
}

// keyOf is the same for paths that match the same requests, and for a match that is empty or not there.
func keyOf(method, path string, m *gateway.Match) string {
	template, err := gateway.ParseTemplate(path)
	if err != nil {
		return ""
	}
	if m == nil {
		m = new(gateway.Match)
	}
	return fmt.Sprintf("%s %q %t %s", method, template.Segments, template.Rest, gateway.Encode(m))
}

// compile makes the operation ready, or says why it cannot be.
func (d *Document) compile(op openapi.Operation, before int) (*operation, error) {
	item := d.doc.Paths.Value(op.Key)
	if item == nil || item.GetOperation(op.Method) == nil {
		return nil, errors.New("it is not there any more")
	}
	own := *item.GetOperation(op.Method)
	own.Security = &openapi3.SecurityRequirements{}
	own.Parameters = parametersOf(item, &own)
	o := &operation{
		route:  routers.Route{Spec: older, Path: op.Key, PathItem: &openapi3.PathItem{}, Method: op.Method, Operation: &own},
		params: paramsOf(op.Path, before),
	}
	o.words, o.branches = sync.OnceValue(o.properties), sync.OnceValue(o.hasBranches)
	if err := d.check(o); err != nil {
		return nil, err
	}
	for _, ref := range own.Parameters {
		ref.Value.Schema = asText(ref.Value.Schema)
	}
	if o.newer = d.doc.IsOpenAPI31OrLater(); o.newer {
		if err := d.modernize(o, op.Key); err != nil {
			return nil, err
		}
	}
	return o, o.checkDecoding()
}

// older has the library check all schemas by itself: those of a newer document it would compile for each request.
var older = &openapi3.T{OpenAPI: "3.0.3"}

// ignored are headers that OpenAPI does not take for parameters.
var ignored = []string{"accept", "content-type", "authorization"}

// parametersOf returns the parameters of the operation and those that it has of its path.
func parametersOf(item *openapi3.PathItem, op *openapi3.Operation) (all openapi3.Parameters) {
	for _, ref := range slices.Concat(op.Parameters, item.Parameters) {
		if ref == nil || ref.Value == nil || all.GetByInAndName(ref.Value.In, ref.Value.Name) != nil {
			continue
		}
		p := *ref.Value
		if p.In == openapi3.ParameterInHeader && slices.Contains(ignored, strings.ToLower(p.Name)) {
			continue
		}
		p.Required = p.Required || p.In == openapi3.ParameterInPath
		all = append(all, &openapi3.ParameterRef{Value: &p})
	}
	return all
}

// asText returns the schema of a parameter as one of texts if it does not say of what type it is: the library would read nothing.
func asText(ref *openapi3.SchemaRef) *openapi3.SchemaRef {
	if ref == nil || ref.Value == nil {
		return ref
	}
	s := *ref.Value
	if !s.Type.IsEmpty() || len(s.Enum)+len(s.AllOf)+len(s.AnyOf)+len(s.OneOf) > 0 || s.Const != nil || s.Always != nil {
		return ref
	}
	s.Type = &openapi3.Types{openapi3.TypeString}
	return &openapi3.SchemaRef{Value: &s}
}

// body returns what the operation says of bodies, or nil.
func (o *operation) body() *openapi3.RequestBody {
	if ref := o.route.Operation.RequestBody; ref != nil {
		return ref.Value
	}
	return nil
}

// paramsOf returns the parameters of a path template.
func paramsOf(path string, before int) (all []param) {
	template, err := gateway.ParseTemplate(path)
	if err != nil {
		return nil
	}
	for i, text := range strings.Split(strings.TrimPrefix(path, "/"), "/") {
		if i >= len(template.Segments) {
			break
		}
		for at, part := range strings.Split(text, "{")[1:] {
			name, _, _ := strings.Cut(part, "}")
			all = append(all, param{name: name, segment: before + i, at: at, of: template.Segments[i]})
		}
	}
	return all
}

// values returns the path's parameters of a request.
func (o *operation) values(r *http.Request) map[string]string {
	values, segments := map[string]string{}, strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	for _, p := range o.params {
		if p.segment < len(segments) {
			if found := p.of.Values(segments[p.segment]); p.at < len(found) {
				values[p.name] = found[p.at]
			}
		}
	}
	return values
}
