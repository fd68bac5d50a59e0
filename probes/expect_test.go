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
		"gRPC without a port":  {URL: "grpcs://gateway/x"},
		"port of 17 bits":      {URL: "http://gateway:65536/"},
		"port zero":            {URL: "tcp://gateway:0"},
		"TCP with a path":      {URL: "tcp://gateway:1/x"},
		"DNS without a name":   {URL: "dns://server/"},
		"DNS, unknown type":    {URL: "dns://server/gateway?type=ANY"},
		"DNS, name too long":   {URL: "dns://server/" + strings.Repeat("a.", 200)},
		"another kind of URL":  {URL: "gopher://gateway"},
		"TCP with a query":     {URL: "tcp://gateway:1?x=1"},
		"gRPC with a query":    {URL: "grpc://gateway:1/x?y=1"},
		"DNS with a class":     {URL: "dns://server/gateway?type=A;class=IN"},
		"DNS with a typo":      {URL: "dns://server/gateway?typ=AAAA"},
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

func TestExpectationsAsPeopleWriteThem(t *testing.T) {
	var e Expectation
	for _, text := range []string{"X-Region: us-east", "content-type: /^application/json/", "ETag"} {
		if err := e.AddHeader(text); err != nil {
			t.Fatal(err)
		}
	}
	good := http.Header{"X-Region": {"eu", "us-east"}, "Content-Type": {"application/json; charset=utf-8"}, "Etag": {""}}
	if err := e.checkHeader(good); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{"X-Region": "us-east-1", "Content-Type": "text/html"} {
		bad := good.Clone()
		bad.Set(name, value)
		if err := e.checkHeader(bad); ClassOf(err) != FailBody {
			t.Errorf("%s %q: %v", name, value, err)
		}
	}
	good.Del("ETag")
	if err := e.checkHeader(good); ClassOf(err) != FailBody {
		t.Errorf("no ETag: %v", err)
	}
	for _, text := range []string{"", ": x", "a b: x", "X-Region: twice", "X: /(/"} {
		if err := e.AddHeader(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	for text, body := range map[string]string{"ok": "is ok", "/^o.$/": "ok", "/": "a/b", "//": "//"} {
		var e Expectation
		if err := e.SetBody(text); err != nil || !e.found([]byte(body)) || e.found([]byte("no")) {
			t.Errorf("%q (%v) does not tell %q from another", text, err, body)
		}
	}
	for _, text := range []string{"", "/(/"} {
		if err := new(Expectation).SetBody(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// TestNoTargetMakesARecordUnreadable answers with headers that fill a line of the record by themselves.
func TestNoTargetMakesARecordUnreadable(t *testing.T) {
	long := strings.Repeat("\xff", maxBody/4)
	url := listen(t, answers("HTTP/1.1 200 OK\r\n"+InstanceHeader+": "+long+"\r\n"+RegionHeader+": "+long+"\r\nX: "+long+"\r\n\r\n"))
	s := once(t, Request{URL: url, Want: Expectation{Header: map[string]*regexp.Regexp{"X": Exactly("x")}}}, 5*time.Second)
	if s.Class != FailBody {
		t.Errorf("class = %s (%s), want %s", s.Class, s.Error, FailBody)
	}
	if line := mustJSON(s); len(line) > 8<<10 {
		t.Errorf("its line is %d bytes long", len(line))
	}
}
