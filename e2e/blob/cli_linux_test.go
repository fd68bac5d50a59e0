package blob

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// googleWithTokens is the server of Google with TLS and tokens in front, and what it takes to use it: two files.
func googleWithTokens(t *testing.T, dir string) (address, roots, credentials string, tokens *atomic.Int64) {
	t.Helper()
	tokens = new(atomic.Int64)
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tokens.Add(1)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"access_token":"secret-token","token_type":"Bearer","expires_in":3600}`)
	}))
	t.Cleanup(issuer.Close)
	back, err := url.Parse(shared.google.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(back) }}
	front := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	roots = write(t, dir, "roots.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}))
	return front.URL, roots, serviceAccount(t, dir, issuer.URL), tokens
}

func serviceAccount(t *testing.T, dir, issuer string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "test", "client_email": "test@example.invalid", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": issuer,
	})
	if err != nil {
		t.Fatal(err)
	}
	return write(t, dir, "credentials.json", content)
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestInit: the command line finds the credentials where the clouds' own tools look, and shows none of them.
func TestInit(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "gwdr")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gwdr: %v\n%s", err, out)
	}
	address, roots, credentials, tokens := googleWithTokens(t, dir)
	bucket := parse(t, googleBucket(t)).Bucket
	env := []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + roots}
	withAll := append(env, "GOOGLE_APPLICATION_CREDENTIALS="+credentials, "AZURE_STORAGE_KEY="+shared.key)
	run := func(env []string, locations ...string) (string, error) {
		t.Helper()
		args := []string{"init", "--file", filepath.Join(t.TempDir(), "gwdr.yaml")}
		for _, l := range locations {
			args = append(args, "--location", l)
		}
		cmd := exec.CommandContext(t.Context(), binary, args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		for _, secret := range []string{"secret-token", shared.key, "PRIVATE KEY"} {
			if strings.Contains(string(out), secret) {
				t.Errorf("a secret is shown: %s", out)
			}
		}
		return string(out), err
	}
	google, azure := "google=gs://"+bucket+"/gwdr?endpoint="+address, "azure="+azureContainer(t)
	out, err := run(withAll, google+",media=object,site=eu", azure+",media=blob,site=us")
	if err != nil || !strings.Contains(out, "google "+strings.TrimPrefix(address, "https://")+" eu project 0") || !strings.Contains(out, "azure 127.0.0.1:") {
		t.Errorf("init: %v\n%s", err, out)
	}
	if tokens.Load() != 1 {
		t.Errorf("%d tokens were fetched, want one for all requests", tokens.Load())
	}
	for name, c := range map[string]struct {
		location, want string
		env            []string
	}{
		"lock":           {azure + ",lock=compliance/1d", "lock is for s3", withAll},
		"unknown option": {google + "&region=eu", `unknown option "region"`, withAll},
		"no account":     {"azure=azblob://container", "no storage account is named", env},
		"wrong key":      {azure, "403", append(env, "AZURE_STORAGE_KEY=d3Jvbmc=")},
	} {
		if out, err := run(c.env, c.location); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v, want %s\n%s", name, err, c.want, out)
		}
	}
}
