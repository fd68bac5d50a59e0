package s3_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"gwdr/backup"
	"gwdr/backup/s3"
)

// server answers as a server of S3 that misbehaves. What a good one does is tested in e2e, against a real one.
type server struct {
	mu      sync.Mutex
	objects map[string][]byte
	// before answers a request itself if it returns true.
	before func(w http.ResponseWriter, r *http.Request, n int) bool
	puts   int
	naive  bool // ignores If-None-Match
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method == http.MethodPut {
		s.puts++
		if s.before != nil && s.before(w, r, s.puts) {
			return
		}
	}
	if r.URL.Query().Has("versions") {
		w.WriteHeader(http.StatusNotImplemented)
		return
	}
	content, ok := s.objects[r.URL.Path]
	switch r.Method {
	case http.MethodPut:
		if ok && !s.naive && r.Header.Get("If-None-Match") == "*" {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		s.store(r)
	case http.MethodDelete:
		delete(s.objects, r.URL.Path)
		w.WriteHeader(http.StatusNoContent)
	default:
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		sum := sha256.Sum256(content)
		w.Header().Set("x-amz-checksum-sha256", base64.StdEncoding.EncodeToString(sum[:]))
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if r.Method == http.MethodGet {
			w.Write(content)
		}
	}
}

func (s *server) store(r *http.Request) {
	content, _ := io.ReadAll(r.Body)
	s.objects[r.URL.Path] = content
}

func open(t *testing.T, s *server) *s3.Location {
	t.Helper()
	s.objects = map[string][]byte{}
	web := httptest.NewServer(s)
	t.Cleanup(web.Close)
	options, err := s3.ParseURL("s3://bucket?endpoint=" + web.URL)
	if err != nil {
		t.Fatal(err)
	}
	options.Credentials = credentials.NewStaticCredentialsProvider("key", "secret", "")
	l, err := s3.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func put(t *testing.T, l *s3.Location, content string) error {
	t.Helper()
	return l.Put(t.Context(), "gwdr1/a", strings.NewReader(content), int64(len(content)))
}

func status(code int) func(http.ResponseWriter, *http.Request, int) bool {
	return func(w http.ResponseWriter, _ *http.Request, n int) bool {
		if n > 1 {
			return false
		}
		w.WriteHeader(code)
		return true
	}
}

func TestConflictIsRetried(t *testing.T) {
	s := &server{before: status(http.StatusConflict)}
	if err := put(t, open(t, s), "content"); err != nil || s.puts != 2 {
		t.Errorf("Put = %v after %d attempts", err, s.puts)
	}
}

func TestDeniedIsNotRetried(t *testing.T) {
	s := &server{before: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.WriteHeader(http.StatusForbidden)
		return true
	}}
	if err := put(t, open(t, s), "content"); err == nil || s.puts != 1 {
		t.Errorf("Put = %v after %d attempts, want an error after one", err, s.puts)
	}
}

// TestStoredButFailed: the server stored the object and then said 500, again and again.
func TestStoredButFailed(t *testing.T) {
	s := &server{}
	s.before = func(w http.ResponseWriter, r *http.Request, n int) bool {
		if n == 1 {
			s.store(r)
		}
		w.WriteHeader(http.StatusInternalServerError)
		return true
	}
	l := open(t, s)
	if err := put(t, l, "content"); err != nil {
		t.Errorf("Put = %v, although the object is there", err)
	}
	if err := put(t, l, "other"); !errors.Is(err, backup.ErrExists) {
		t.Errorf("Put of other bytes = %v, want ErrExists", err)
	}
}

// TestNaiveServer: some servers ignore the condition; Probe finds them out.
func TestNaiveServer(t *testing.T) {
	for _, naive := range []bool{false, true} {
		c, err := open(t, &server{naive: naive}).Probe(t.Context())
		if err != nil || c.CreateOnly == naive || c.Immutable {
			t.Errorf("naive %v: Probe() = %+v, %v", naive, c, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	got, err := s3.ParseURL("s3://bucket/a/b/?endpoint=http://127.0.0.1:1&region=eu&path_style=false")
	if err != nil || got.Bucket != "bucket" || got.Prefix != "a/b/" || got.Endpoint != "http://127.0.0.1:1" || got.Region != "eu" || got.PathStyle {
		t.Errorf("ParseURL = %+v, %v", got, err)
	}
	for _, bad := range []string{"s3:", "s3:///x", "http://b", "s3://b?nonsense=1", "s3://b?path_style=maybe", "s3://user:secret@b", "s3://b#x", "s3://%zz", "s3://b?key=secret", "s3://b?region=secret&path_style=maybe",
		"s3://b?endpoint=http://user:secret@h", "s3://b?endpoint=h:9000", "s3:///secret"} {
		if _, err := s3.ParseURL(bad); err == nil {
			t.Errorf("ParseURL(%s) succeeded", bad)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("ParseURL shows the secret: %v", err)
		}
	}
}

func TestParseLock(t *testing.T) {
	for text, want := range map[string]s3.Lock{
		"":               {},
		"compliance/30d": {Mode: "COMPLIANCE", For: 30 * 24 * time.Hour},
		"governance/36h": {Mode: "GOVERNANCE", For: 36 * time.Hour},
	} {
		if got, err := s3.ParseLock(text); err != nil || got != want {
			t.Errorf("ParseLock(%s) = %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"compliance", "compliance/", "compliance/0d", "compliance/-1d", "none/1d", "compliance/x", "compliance/999999999d", "30d"} {
		if _, err := s3.ParseLock(bad); err == nil {
			t.Errorf("ParseLock(%s) succeeded", bad)
		}
	}
}

// TestPruneOptions: a second URL of a bucket names other credentials, and what only they may do.
func TestPruneOptions(t *testing.T) {
	got, err := s3.ParseURL("s3://bucket?profile=pruner&bypass_governance=true")
	if err != nil || got.Profile != "pruner" || !got.BypassGovernance || got.PathStyle {
		t.Errorf("ParseURL = %+v, %v", got, err)
	}
	if _, err := s3.ParseURL("s3://bucket?bypass_governance=perhaps"); err == nil {
		t.Error("ParseURL takes perhaps for an answer")
	}
}

// TestErrorsSayWhere: bucket, key and the server's own words, and none of the SDK's many.
func TestErrorsSayWhere(t *testing.T) {
	s := &server{before: func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Not you.</Message></Error>")
		return true
	}}
	const want = "put s3://bucket/gwdr1/a: the store does not allow this: the server answered 403 AccessDenied: Not you"
	if err := put(t, open(t, s), "content"); err == nil || err.Error() != want || !errors.Is(err, s3.ErrDenied) {
		t.Errorf("error %v\nwant  %s", err, want)
	}
}

// TestContinuedDownload: a transfer that breaks off goes on where it ended, and not forever.
func TestContinuedDownload(t *testing.T) {
	content := strings.Repeat("content ", 1000)
	for _, c := range []struct {
		cuts int
		ok   bool
	}{{0, true}, {3, true}, {4, false}} {
		var cuts atomic.Int32
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if int(cuts.Add(1)) <= c.cuts {
				w = &cutter{ResponseWriter: w, left: 1000}
			}
			w.Header().Set("ETag", `"x"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
		}))
		t.Cleanup(web.Close)
		got, err := readFrom(t, web.URL)
		if c.ok && (err != nil || got != content) || !c.ok && (err == nil || !strings.Contains(err.Error(), "read s3://bucket/gwdr1/a")) {
			t.Errorf("%d cuts: %d bytes, %v", c.cuts, len(got), err)
		}
	}
}

// cutter breaks the connection after some bytes.
type cutter struct {
	http.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, _ := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func readFrom(t *testing.T, url string) (string, error) {
	t.Helper()
	options, err := s3.ParseURL("s3://bucket?endpoint=" + url)
	if err != nil {
		t.Fatal(err)
	}
	options.Credentials, options.Backoff = credentials.NewStaticCredentialsProvider("key", "secret", ""), time.Millisecond
	l, err := s3.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Get(t.Context(), "gwdr1/a")
	if err != nil {
		return "", err
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	return string(got), err
}
