package admin_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gopkg.in/yaml.v3"
)

// contract is what openapi.yaml says. Every answer that a test of this package gets by server.send is held against it.
type contract struct {
	Paths      map[string]map[string]yaml.Node
	Components struct {
		Schemas    map[string]*schema
		Parameters map[string]parameter
		Responses  map[string]response
	}

	operations map[string]operation // by METHOD /path as ServeMux has it
	mux        *http.ServeMux
}

type operation struct {
	Roles      []string    `yaml:"x-roles"`
	Security   *[]any      // empty: no token is asked for
	Parameters []parameter // of this operation alone
	Responses  map[string]response
}

type parameter struct {
	Ref      string `yaml:"$ref"`
	Name, In string
}

type response struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct{ Schema *schema }
}

var described = sync.OnceValues(readContract)

func readContract() (*contract, error) {
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		return nil, err
	}
	c := &contract{operations: map[string]operation{}, mux: http.NewServeMux()}
	if err := yaml.Unmarshal(text, c); err != nil {
		return nil, err
	}
	for path, item := range c.Paths {
		for method, node := range item {
			if method == "parameters" {
				continue
			}
			var op operation
			if err := node.Decode(&op); err != nil {
				return nil, err
			}
			pattern := strings.ToUpper(method) + " " + strings.Replace(path, "{kind}/{id}", "{kind}/{id...}", 1)
			c.operations[pattern] = op
			c.mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
		}
	}
	return c, nil
}

func theContract(t *testing.T) *contract {
	t.Helper()
	c, err := described()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// hold reports where the answer is not as described.
func (c *contract) hold(req *http.Request, resp *http.Response, body string) error {
	_, pattern := c.mux.Handler(req)
	if req.URL.Path == "/v1/" { // another way to write it
		pattern = "GET /v1"
	}
	op, known := c.operations[pattern]
	if !known {
		if resp.StatusCode != http.StatusNotFound && resp.StatusCode != http.StatusForbidden {
			return fmt.Errorf("answered %d by an endpoint that is not described", resp.StatusCode)
		}
		return nil
	}
	if err := c.holdHeader(op, req); err != nil {
		return err
	}
	answer, listed := op.Responses[strconv.Itoa(resp.StatusCode)]
	if !listed {
		if resp.StatusCode != http.StatusInternalServerError && resp.StatusCode != http.StatusServiceUnavailable {
			return fmt.Errorf("%s: status %d is not described", pattern, resp.StatusCode)
		}
		answer = op.Responses["default"]
	}
	if answer.Ref != "" {
		answer = c.Components.Responses[last(answer.Ref)]
	}
	form, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	content, listed := answer.Content[form]
	if err != nil || !listed {
		return fmt.Errorf("%s: %d as %q is not described", pattern, resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return c.holdBody(content.Schema, form, body)
}

// parametersOf returns the names of the operation's own parameters that are in one part of the request, in order.
func (c *contract) parametersOf(op operation, in string) (names []string) {
	for _, p := range op.Parameters {
		if p.Ref != "" {
			p = c.Components.Parameters[last(p.Ref)]
		}
		if p.In == in {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}

// holdHeader reports a header of this API that is not described. A parameter that is not described is refused, as a test of its own says.
func (c *contract) holdHeader(op operation, req *http.Request) error {
	known := c.parametersOf(op, "header")
	for name := range req.Header {
		if (strings.HasPrefix(name, "X-Gwdr") || strings.HasPrefix(name, "If-")) && !slices.Contains(known, name) {
			return fmt.Errorf("header %s is not described", name)
		}
	}
	return nil
}

func (c *contract) holdBody(s *schema, form, body string) error {
	if !strings.Contains(form, "json") {
		return nil
	}
	if form != "application/x-ndjson" { // one document, of however many lines
		body = strings.ReplaceAll(body, "\n", " ")
	}
	documents := bufio.NewScanner(strings.NewReader(body))
	documents.Buffer(nil, 1<<27)
	for documents.Scan() {
		var v any
		if err := json.Unmarshal(documents.Bytes(), &v); err != nil {
			return err
		}
		if err := c.check(v, s, "body"); err != nil {
			return err
		}
	}
	return documents.Err()
}

func last(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
