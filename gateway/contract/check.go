package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"gwdr/gateway"
)

// Violation says where a request is not as its operation wants. It never holds a value of the request.
type Violation struct {
	In   string // "path", "query", "header", "cookie" or "body"
	Name string // of the parameter; of what is in a body, where: /items/0/price, with * for names that the document does not know
	Rule string // keyword of the schema; "missing", "empty", "costly" or "unreadable"
}

// String says it to people.
func (v Violation) String() string {
	what := fmt.Sprintf("parameter %q in %s", v.Name, v.In)
	switch {
	case v.In == "body" && v.Name == "":
		what = "the body"
	case v.In == "body":
		what = "the body at " + v.Name
	case v.Name == "":
		what = "the " + v.In
	}
	switch v.Rule {
	case missing:
		return what + " is missing"
	case empty:
		return what + " is empty"
	case costly:
		return what + " takes too long to be held against the specification"
	case unreadable:
		return what + " cannot be read as the specification says"
	}
	return fmt.Sprintf("%s is not as the specification's %q says", what, v.Rule)
}

const (
	missing    = "missing"
	empty      = "empty"
	costly     = "costly"
	unreadable = "unreadable"
)

// Check returns how the request, with all of its body, is not as the route's operations want; nil if it is. An error says that it
// could not be told.
func (c *Contract) Check(r *http.Request, body []byte) (v *Violation, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			v, err = nil, fmt.Errorf("check request: %v", cause)
		}
	}()
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &Violation{In: "query", Rule: unreadable}, nil
	}
	operations := c.operations[r.Method]
	if operations == nil && r.Method == http.MethodHead {
		operations = c.operations[http.MethodGet]
	}
	for _, o := range operations {
		if v = o.violation(r, query, body); v == nil {
			return nil, nil
		}
	}
	return v, nil
}

func (o *operation) violation(r *http.Request, query url.Values, body []byte) *Violation {
	req := *r // the library may set its body
	req.Body = io.NopCloser(bytes.NewReader(body))
	if v := o.repeated(r.Header, query); v != nil {
		return v
	}
	options := &openapi3filter.Options{SkipSettingDefaults: true}
	input := &openapi3filter.RequestValidationInput{Request: &req, PathParams: o.values(r), QueryParams: query, Route: &o.route, Options: options}
	for _, p := range o.route.Operation.Parameters {
		if isCostlyParameter(p.Value, input) {
			return &Violation{In: p.Value.In, Name: p.Value.Name, Rule: costly}
		}
		if v := o.explain(openapi3filter.ValidateParameter(context.Background(), input, p.Value)); v != nil {
			if v.Rule == empty && strings.Join(textsOf(p.Value, input), "") != "" { // none of the types that it may have is that of the text
				v.Rule = unreadable
			}
			return v
		}
	}
	return o.bodyViolation(input, body)
}

// bodyViolation looks into bodies of JSON and forms. Of others it only asks whether the operation takes them.
func (o *operation) bodyViolation(input *openapi3filter.RequestValidationInput, body []byte) *Violation {
	wanted := o.body()
	if wanted == nil {
		return nil
	}
	if len(body) == 0 {
		if wanted.Required {
			return &Violation{In: "body", Rule: missing}
		}
		return nil
	}
	kind := input.Request.Header.Get("Content-Type")
	as := wanted.Content.Get(kind)
	if len(wanted.Content) > 0 && as == nil {
		return &Violation{In: "header", Name: "Content-Type", Rule: "content"}
	}
	media, _, err := mime.ParseMediaType(kind)
	switch {
	case kind != "" && err != nil || len(input.Request.Header["Content-Type"]) > 1: // the endpoint may take it for what is read
		return &Violation{In: "header", Name: "Content-Type", Rule: unreadable}
	case !isRead(media):
		return nil
	case !isOneValue(media, as, body):
		return &Violation{In: "body", Rule: unreadable}
	case media != form && as != nil && (o.branches() || len(o.modern) > 0) && isCostly(as.Schema, body):
		return &Violation{In: "body", Rule: costly}
	}
	return o.explain(openapi3filter.ValidateRequestBody(context.Background(), input, wanted))
}

// textsOf returns what the request says of the parameter.
func textsOf(p *openapi3.Parameter, input *openapi3filter.RequestValidationInput) (all []string) {
	switch p.In {
	case openapi3.ParameterInQuery:
		return input.QueryParams[p.Name]
	case openapi3.ParameterInHeader:
		return input.Request.Header.Values(p.Name)
	case openapi3.ParameterInPath:
		return []string{input.PathParams[p.Name]}
	}
	for _, cookie := range input.Request.CookiesNamed(p.Name) {
		all = append(all, cookie.Value)
	}
	return all
}

// repeated reports a header, or a query parameter of one value, that is there twice: one of them is checked, and the endpoint may go by
// another.
func (o *operation) repeated(header http.Header, query url.Values) *Violation {
	for _, ref := range o.route.Operation.Parameters {
		p := ref.Value
		inHeader := p.In == openapi3.ParameterInHeader && len(header.Values(p.Name)) > 1
		inQuery := p.In == openapi3.ParameterInQuery && len(query[p.Name]) > 1 && isSingle(p.Schema)
		if inHeader || inQuery {
			return &Violation{In: p.In, Name: p.Name, Rule: unreadable}
		}
	}
	return nil
}

// isSingle reports whether what is of the schema is a text, a number or the like.
func isSingle(ref *openapi3.SchemaRef) bool {
	if ref == nil || ref.Value == nil || ref.Value.Type == nil {
		return false
	}
	return !ref.Value.Type.Includes(openapi3.TypeArray) && !ref.Value.Type.Includes(openapi3.TypeObject)
}

// isOneValue reports whether a body is the same for every reader: JSON without a key that is there twice, and nothing after it; a form with
// each property once that is of one value.
func isOneValue(media string, as *openapi3.MediaType, body []byte) bool {
	if media != form {
		return gateway.IsOneValue(body)
	}
	if as == nil || as.Schema == nil || as.Schema.Value == nil {
		return true
	}
	values, err := url.ParseQuery(string(body))
	for name, property := range as.Schema.Value.Properties {
		if len(values[name]) > 1 && isSingle(property) {
			return false
		}
	}
	return err == nil
}

const form = "application/x-www-form-urlencoded"

// isRead reports whether bodies of the type are looked into.
func isRead(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json") || media == form
}

// explain keeps of the library's error what is no value. Where the library refused what it does not check by itself, that is judged here.
func (o *operation) explain(err error) *Violation {
	if err == nil {
		return nil
	}
	v := &Violation{In: "body", Rule: unreadable}
	failed, known := errors.AsType[*openapi3filter.RequestError](err)
	if known && failed.Parameter != nil {
		v.In, v.Name = failed.Parameter.In, failed.Parameter.Name
	}
	schema, isSchema := errors.AsType[*openapi3.SchemaError](err)
	switch {
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		v.Rule = missing
	case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
		v.Rule = empty
	case isSchema:
		at, rule := schema.JSONPointer(), schema.SchemaField
		if by := o.modern[schema.Schema]; by != nil {
			if !by.refuses(schema.Value) {
				return nil
			}
			at, rule = by.reason(schema.Value, schema.Schema)
		}
		v.Rule = rule
		if v.In == "body" {
			v.Name = o.spell(at)
		}
	}
	return v
}

// spell spells a JSON pointer. Names of properties that the document does not know may be values.
func (o *operation) spell(path []string) string {
	var text strings.Builder
	for _, step := range path {
		if _, err := strconv.ParseUint(step, 10, 32); err != nil && !o.words()[step] {
			step = "*"
		}
		text.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return text.String()
}

// properties returns the names of the properties of all that a body can be.
func (o *operation) properties() map[string]bool {
	names := map[string]bool{}
	if o.body() == nil {
		return names
	}
	for _, media := range o.body().Content {
		if media.Schema == nil {
			continue
		}
		_ = media.Schema.WalkSubtree(func(_ string, ref *openapi3.SchemaRef) error { // the function never fails
			if ref.Value != nil {
				for name := range ref.Value.Properties {
					names[name] = true
				}
			}
			return nil
		})
	}
	return names
}
