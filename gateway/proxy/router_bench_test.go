package proxy

import (
	"fmt"
	"net/http"
	"testing"

	"gwdr/gateway"
)

// manyRoutes resemble what imports make of real documents.
func manyRoutes(n int) map[string]*route {
	routes := make(map[string]*route, n)
	for i := range n {
		path := fmt.Sprintf("/api%d/v1/resources%d/{id}/parts/{part}", i%100, i/100)
		template, _ := gateway.ParseTemplate(path)
		id := fmt.Sprintf("route-%06d", i)
		routes[id] = &route{id: id, methods: []string{"GET"}, template: template, upstream: "x"}
	}
	return routes
}

// manyActions are told apart by a header alone, as those of some AWS services.
func manyActions(n int) map[string]*route {
	routes := make(map[string]*route, n)
	for i := range n {
		id := fmt.Sprintf("route-%06d", i)
		body := gateway.RouteBody{Match: &gateway.Match{Headers: map[string]string{"X-Amz-Target": id}}}
		routes[id] = &route{id: id, methods: []string{"POST"}, template: gateway.Template{Segments: []gateway.Segment{{""}}}, upstream: "x",
			conditions: newConditions(&body)}
	}
	return routes
}

func BenchmarkLookupByHeader(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRouter(manyActions(n))
			var requests []*http.Request
			for i := range 64 {
				req := request(b, "POST /")
				req.Header.Set("X-Amz-Target", fmt.Sprintf("route-%06d", i*n/64))
				requests = append(requests, req)
			}
			benchmarkMatch(b, r, requests)
		})
	}
}

func benchmarkMatch(b *testing.B, r *router, requests []*http.Request) {
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if found, err := r.match(requests[i%64]); found == nil || err != nil {
			b.Fatal(requests[i%64].URL, err)
		}
		i++
	}
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := newRouter(manyRoutes(n))
			var requests []*http.Request
			for i := range 64 {
				i = i * n / 64
				requests = append(requests, request(b, fmt.Sprintf("GET /api%d/v1/resources%d/7f3a/parts/12", i%100, i/100)))
			}
			benchmarkMatch(b, r, requests)
		})
	}
}

func BenchmarkBuildRouter(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		routes := manyRoutes(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				newRouter(routes)
			}
		})
	}
}
