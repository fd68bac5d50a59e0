package contract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"gwdr/gateway"
)

// Violation says where a request is not as its operation wants. It never holds a value of the request.
type Violation struct {
	In   string // "path", "query", "header", "cookie" or "body"
	Name string // of the parameter; of what is in a body, where: /items/0/price, with * for names that the document does not know
	Rule string // keyword of the schema; "missing", "empty", "costly", "repeated", "compressed" or "unreadable"
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
	case repeated:
		return what + " is there more than once"
	case compressed:
		return what + " is compressed, so that it cannot be held against the specification"
	case never:
		return what + " is not allowed by the specification"
	}
	return fmt.Sprintf("%s is not as the specification's %q says", what, v.Rule)
}

const (
	missing    = "missing"
	empty      = "empty"
	costly     = "costly"
	unreadable = "unreadable"
	repeated   = "repeated"
	compressed = "compressed"
	never      = "boolean" // keyword of a schema that takes nothing
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
	options := &openapi3filter.Options{SkipSettingDefaults: true}
	input := &openapi3filter.RequestValidationInput{Request: &req, PathParams: o.values(r), QueryParams: query, Route: &o.route, Options: options}
	if v := o.repeatedParameter(input); v != nil {
		return v
	}
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

// bodyViolation looks into bodies of JSON and urlencoded forms. Of others it only asks whether the operation takes them.
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
	media, _, err := mime.ParseMediaType(kind)
	switch header := (Violation{In: "header", Name: "Content-Type"}); {
	case len(wanted.Content) > 0 && kind == "":
		header.Rule = missing
		return &header
	case len(wanted.Content) > 0 && as == nil:
		header.Rule = "content"
		return &header
	case len(input.Request.Header["Content-Type"]) > 1: // the endpoint may take it for what is read
		header.Rule = repeated
		return &header
	case kind != "" && err != nil: // likewise
		header.Rule = unreadable
		return &header
	case (media == form || isJSON(media)) && isCompressed(input.Request.Header):
		return &Violation{In: "body", Rule: compressed}
	case media == form:
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return &Violation{In: "body", Rule: unreadable}
		}
		if v := repeatedField(as, values); v != nil {
			return v
		}
	case !isJSON(media):
		return nil
	case !gateway.IsOneValue(body): // for every reader: without a key that is there twice, and with nothing after it
		return &Violation{In: "body", Rule: unreadable}
	case as != nil && (o.branches() || len(o.modern) > 0) && isCostly(as.Schema, body):
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

const form = "application/x-www-form-urlencoded"

func isJSON(media string) bool {
	return media == "application/json" || strings.HasSuffix(media, "+json")
}

// isCompressed reports whether a body is not what the endpoint will make of it.
func isCompressed(header http.Header) bool {
	return slices.ContainsFunc(header["Content-Encoding"], func(coding string) bool { return !strings.EqualFold(coding, "identity") })
}
