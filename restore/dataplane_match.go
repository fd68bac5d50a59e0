package restore

import (
	"net/http"
	"net/url"
	"strings"

	"gwdr/gateway"
)

// meet returns a path with a query, and a header, that a route of the path template takes.
func meet(template string, m *gateway.Match) (path string, header http.Header) {
	if m == nil {
		return fill(template), nil
	}
	if i := strings.IndexAny(template, "?#"); i >= 0 {
		template = template[:i]
	}
	for name, form := range m.Params {
		template = strings.ReplaceAll(template, "{"+name+"}", gateway.ExampleOf(form))
	}
	header, query := http.Header{}, url.Values{}
	for name, value := range m.Headers {
		header.Set(name, value)
	}
	for name, value := range m.Query {
		query.Set(name, value)
	}
	path = fill(template)
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path, header
}
