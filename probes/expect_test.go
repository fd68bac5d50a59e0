package probes

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestExpectations(t *testing.T) {
	const text = `{"orders":[17]}`
	sum := sha256.Sum256([]byte(text))
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Add("Via", "1.1 edge")
		w.Header().Add("Via", "1.1 region")
		if r.URL.Path == "/teapot" {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, text)
	})
	for name, c := range map[string]struct {
		path string
		want Expectation
		is   Class
	}{
		"class of status":          {"/", Expectation{Status: "2xx"}, OK},
		"another class":            {"/", Expectation{Status: "3xx"}, FailStatus},
		"list of statuses":         {"/teapot", Expectation{Status: "200, 418"}, OK},
		"list with a class":        {"/teapot", Expectation{Status: "204,4XX"}, OK},
		"not in the list":          {"/teapot", Expectation{Status: "200,404"}, FailStatus},
		"header is there":          {"/", Expectation{Header: map[string]*regexp.Regexp{"content-type": nil}}, OK},
		"header is not there":      {"/", Expectation{Header: map[string]*regexp.Regexp{"ETag": nil}}, FailBody},
		"value":                    {"/", Expectation{Header: map[string]*regexp.Regexp{"Via": Exactly("1.1 region")}}, OK},
		"part of a value":          {"/", Expectation{Header: map[string]*regexp.Regexp{"Via": Exactly("1.1")}}, FailBody},
		"pattern":                  {"/", Expectation{Header: map[string]*regexp.Regexp{"Content-Type": regexp.MustCompile("json$")}}, OK},
		"pattern does not match":   {"/", Expectation{Header: map[string]*regexp.Regexp{"Content-Type": regexp.MustCompile("^text/")}}, FailBody},
		"contains":                 {"/", Expectation{Contains: `"orders"`}, OK},
		"does not contain":         {"/", Expectation{Contains: "payments"}, FailBody},
		"matches":                  {"/", Expectation{Match: regexp.MustCompile(`\[\d+\]`)}, OK},
		"does not match":           {"/", Expectation{Match: regexp.MustCompile(`\[\]`)}, FailBody},
		"sha256":                   {"/", Expectation{SHA256: strings.ToUpper(hex.EncodeToString(sum[:]))}, OK},
		"another sha256":           {"/", Expectation{SHA256: strings.Repeat("0", 64)}, FailBody},
		"status before body":       {"/teapot", Expectation{Contains: "payments"}, FailStatus},
		"right body, wrong status": {"/teapot", Expectation{Contains: "orders"}, FailStatus},
	} {
		t.Run(name, func(t *testing.T) {
			got := once(t, Request{URL: url + c.path, Want: c.want}, 5*time.Second)
			if got.Class != c.is || (got.Error == "") != (c.is == OK) {
				t.Errorf("class = %s (%s), want %s", got.Class, got.Error, c.is)
			}
		})
	}
}

func TestUnusableExpectations(t *testing.T) {
	for name, r := range map[string]Request{
		"no status":            {URL: "http://gateway", Want: Expectation{Status: "ok"}},
		"empty list":           {URL: "http://gateway", Want: Expectation{Status: "200,"}},
		"class of nothing":     {URL: "http://gateway", Want: Expectation{Status: "9xx"}},
		"records of HTTP":      {URL: "http://gateway", Want: Expectation{Records: []string{"192.0.2.1"}}},
		"bytes to send":        {URL: "http://gateway", Send: []byte("x")},
		"status of TCP":        {URL: "tcp://gateway:1", Expect: 200},
		"nonce of TCP":         {URL: "tcp://gateway:1", Echo: true},
		"body of DNS":          {URL: "dns://server/gateway", Want: Expectation{Contains: "x"}},
		"body of gRPC":         {URL: "grpc://gateway:1", Want: Expectation{Contains: "x"}},
		"TCP without a port":   {URL: "tcp://gateway"},
		"TCP with a path":      {URL: "tcp://gateway:1/x"},
		"DNS without a name":   {URL: "dns://server/"},
		"DNS, unknown type":    {URL: "dns://server/gateway?type=ANY"},
		"DNS, name too long":   {URL: "dns://server/" + strings.Repeat("a.", 200)},
		"another kind of URL":  {URL: "gopher://gateway"},
		"credentials over TCP": {URL: "tcp://gateway:1", Header: map[string]string{"Authorization": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			if s, err := newSender(r); err == nil {
				s.close()
				t.Error("was accepted")
			}
		})
	}
}
