package blob_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/blob"
)

// The servers here answer as the clouds' documentation says that a bucket does which has a retention policy, or which the
// caller may not use. No server that can be run has one; what such servers can do is tested in e2e, against them.

const canary = "gwdr tries to overwrite and to delete this object, to learn whether it can\n"

func serve(t *testing.T, scheme string, handle http.HandlerFunc) *blob.Location {
	t.Helper()
	web := httptest.NewServer(handle)
	t.Cleanup(web.Close)
	return blob.Open(blob.Options{Scheme: scheme, Bucket: "bucket", Endpoint: web.URL, Account: "name", Key: "c2VjcmV0"})
}

func googleSays(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": status, "message": message}})
}

// lockedGoogle holds the canary under a locked retention policy.
func lockedGoogle(w http.ResponseWriter, r *http.Request) {
	const retained = "Object 'bucket/gwdr1/canary' is subject to bucket's retention policy"
	switch {
	case r.Method == http.MethodPost:
		io.Copy(io.Discard, r.Body)
		if r.URL.Query().Get("ifGenerationMatch") == "0" {
			googleSays(w, 412, "At least one of the pre-conditions you specified did not hold.")
			return
		}
		googleSays(w, 403, retained)
	case r.Method == http.MethodDelete:
		googleSays(w, 403, retained)
	case r.URL.Path == "/storage/v1/b/bucket":
		io.WriteString(w, `{"name":"bucket","location":"EU","projectNumber":"4711","retentionPolicy":{"retentionPeriod":"2592000","effectiveTime":"2025-11-25T12:00:00Z","isLocked":true}}`)
	default:
		sum := md5.Sum([]byte(canary))
		fmt.Fprintf(w, `{"name":"gwdr1/canary","size":"%d","md5Hash":%q,"generation":"1"}`, len(canary), base64.StdEncoding.EncodeToString(sum[:]))
	}
}

func azureSays(w http.ResponseWriter, status int, code string) {
	w.Header().Set("x-ms-error-code", code)
	w.WriteHeader(status)
}

// lockedAzure holds the canary under an immutability policy.
func lockedAzure(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Last-Modified", "Tue, 25 Nov 2025 12:00:00 GMT")
	w.Header().Set("x-ms-creation-time", "Tue, 25 Nov 2025 12:00:00 GMT")
	switch {
	case r.URL.Query().Get("restype") == "container":
		w.Header().Set("x-ms-has-immutability-policy", "true")
		w.Header().Set("x-ms-has-legal-hold", "false")
	case r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "*":
		io.Copy(io.Discard, r.Body)
		azureSays(w, 409, "BlobAlreadyExists")
	case r.Method == http.MethodPut, r.Method == http.MethodDelete:
		io.Copy(io.Discard, r.Body)
		azureSays(w, 409, "BlobImmutableDueToPolicy")
	default:
		w.Header().Set("Content-Length", fmt.Sprint(len(canary)))
		if r.Method == http.MethodGet {
			io.WriteString(w, canary)
		}
	}
}

func TestLocked(t *testing.T) {
	for scheme, c := range map[string]struct {
		handle http.HandlerFunc
		detail string
	}{
		blob.Google: {lockedGoogle, "retention policy of 720h0m0s, locked"},
		blob.Azure:  {lockedAzure, "immutability policy"},
	} {
		l := serve(t, scheme, c.handle)
		got, err := l.Probe(t.Context())
		if err != nil || !got.CreateOnly || !got.Immutable || len(got.Tests) != 3 {
			t.Errorf("%s: Probe() = %+v, %v", scheme, got, err)
			continue
		}
		if want := (backup.Test{What: "lock", Denied: true, Detail: c.detail}); got.Tests[2] != want {
			t.Errorf("%s: %+v, want %+v", scheme, got.Tests[2], want)
		}
		if err := l.Remove(t.Context(), "gwdr1/canary"); scheme == blob.Azure && (err == nil || !strings.Contains(err.Error(), "BlobImmutableDueToPolicy")) {
			t.Errorf("Remove = %v, want the store's own reason", err)
		}
	}
	if domain, err := serve(t, blob.Google, lockedGoogle).Domain(t.Context()); err != nil || !strings.HasSuffix(domain, " eu project 4711") {
		t.Errorf("Domain() = %s, %v", domain, err)
	}
}

// TestDenied: gocloud.dev says of much that it is not found. What is denied may be there, and nothing is retried.
func TestDenied(t *testing.T) {
	requests := 0
	for scheme, handle := range map[string]http.HandlerFunc{
		blob.Google: func(w http.ResponseWriter, r *http.Request) { requests++; googleSays(w, 403, "no access?token=x") },
		blob.Azure:  func(w http.ResponseWriter, r *http.Request) { requests++; azureSays(w, 403, "AuthorizationFailure") },
	} {
		l := serve(t, scheme, handle)
		requests = 0
		_, err := l.Get(t.Context(), "gwdr1/a")
		if err == nil || errors.Is(err, backup.ErrNotExist) || !strings.Contains(err.Error(), "server answered 403 ") || strings.Contains(err.Error(), "token") || requests != 1 {
			t.Errorf("%s: Get = %v after %d requests", scheme, err, requests)
		}
		if _, err := l.Probe(t.Context()); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("%s: Probe of a bucket that may not be written = %v", scheme, err)
		}
	}
	l := serve(t, blob.Google, func(w http.ResponseWriter, _ *http.Request) { googleSays(w, 403, "no access") })
	if domain, err := l.Domain(t.Context()); err != nil || !strings.HasSuffix(domain, "project unknown") {
		t.Errorf("Domain() = %s, %v", domain, err)
	}
	l = serve(t, blob.Google, func(w http.ResponseWriter, _ *http.Request) {
		googleSays(w, 404, "The specified bucket does not exist.")
	})
	if _, err := l.Get(t.Context(), "gwdr1/a"); err == nil || errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get from no bucket = %v", err)
	}
}

// TestNaiveServer: Probe finds out a server that ignores the condition.
func TestNaiveServer(t *testing.T) {
	content := []byte{}
	l := serve(t, blob.Azure, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Tue, 25 Nov 2025 12:00:00 GMT")
		w.Header().Set("x-ms-creation-time", "Tue, 25 Nov 2025 12:00:00 GMT")
		switch r.Method {
		case http.MethodPut:
			content, _ = io.ReadAll(r.Body)
			w.WriteHeader(http.StatusCreated)
		case http.MethodDelete:
			w.WriteHeader(http.StatusAccepted)
		default:
			w.Write(content)
		}
	})
	if c, err := l.Probe(t.Context()); err != nil || c.CreateOnly || c.Immutable {
		t.Errorf("Probe() = %+v, %v", c, err)
	}
}

// TestStoredButFailed: the server stored the object and then said 500, again and again.
func TestStoredButFailed(t *testing.T) {
	var stored []byte
	l := serve(t, blob.Azure, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", "Tue, 25 Nov 2025 12:00:00 GMT")
		w.Header().Set("x-ms-creation-time", "Tue, 25 Nov 2025 12:00:00 GMT")
		if r.Method != http.MethodPut {
			w.Write(stored)
			return
		}
		if body, _ := io.ReadAll(r.Body); stored == nil {
			stored = body
		}
		azureSays(w, 500, "InternalError")
	})
	if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("content"), 7); err != nil {
		t.Errorf("Put = %v, although the object is there", err)
	}
	if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("other"), 5); !errors.Is(err, backup.ErrExists) {
		t.Errorf("Put of other bytes = %v, want ErrExists", err)
	}
}
