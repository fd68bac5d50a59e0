package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/contract"
)

const (
	mostDocuments = gateway.MaxBody // bytes of specs that are kept compiled: one of the largest, or many that are usual
	mostValidated = 1 << 20         // bytes of a body that is held against a spec, unless its route has a max_body
)

// violation is the answer to a request that is not as its route's spec says: the members of RFC 9457, and where.
type violation struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	In     string `json:"in"`
	Name   string `json:"name,omitempty"`
	Rule   string `json:"rule"`
}

// validate holds the request against the spec, where the route asks for it.
func (c *call) validate() *refusal {
	if c.route.contract == nil {
		return nil
	}
	wanted, err := c.wanted()
	if err != nil {
		return c.cannotTell(err)
	}
	body, f := c.readBody()
	if f != nil {
		return f
	}
	v, err := wanted.Check(c.request, body)
	if err != nil {
		return c.cannotTell(err)
	}
	if v != nil {
		c.metrics.invalid.WithLabelValues("request").Inc()
		return &refusal{status: http.StatusBadRequest, text: v.String(), problem: violation{Type: "urn:gwdr:problem:invalid_request",
			Title: "The request is not as its specification says", Status: http.StatusBadRequest, Detail: v.String(), In: v.In, Name: v.Name, Rule: v.Rule}}
	}
	return nil
}

// wanted returns what the route's spec says of its requests. The first to ask has it compiled.
func (c *call) wanted() (*contract.Contract, error) {
	spec := c.config.specs[c.route.spec]
	if spec == nil {
		return nil, fmt.Errorf("spec %q is not there", c.route.spec)
	}
	return c.documents.Contract(spec, c.route.contract)
}

// cannotTell refuses what nobody checked. The admin API takes no route whose spec cannot be compiled, but a restore does.
func (c *call) cannotTell(err error) *refusal {
	c.metrics.invalid.WithLabelValues("spec").Inc()
	c.log.Warn("requests cannot be validated", "route", c.route.id, "spec", c.route.spec, "error", err)
	return &refusal{status: http.StatusServiceUnavailable, text: "the request cannot be held against the route's specification"}
}

// readBody returns all of the body, which is sent on from memory.
func (c *call) readBody() ([]byte, *refusal) {
	r := c.request
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	control, reading := http.NewResponseController(c.answer), new(reading)
	left, _ := c.config.upstreams[c.route.upstream].timeLeft(c.route, c.start)
	_ = control.SetReadDeadline(time.Now().Add(left)) // a ResponseWriter without deadlines is a test's
	body, err := io.ReadAll(c.route.paced(r.Body, func() {
		c.metrics.slowBodies.Inc()
		reading.cut(control)
	}))
	reading.end()
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, c.route.tooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &refusal{status: http.StatusRequestTimeout, text: "the request body did not come in time"}
	}
	if err != nil {
		return nil, &refusal{status: http.StatusBadRequest, text: "the request body ends early"}
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}
