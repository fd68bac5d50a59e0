// Package blob tests the locations in clouds against a server of each: fake-gcs-server for Google, Azurite for Azure.
package blob

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	azureblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/fsouza/fake-gcs-server/fakestorage"

	"gwdr/backup/blob"
)

// servers are what the tests talk to.
type servers struct {
	google  *fakestorage.Server
	azure   string // its URL, with the account
	key     string // of the account
	noAzure error  // why there is no Azurite
	buckets atomic.Int64
}

var shared servers

const account = "testaccount"

func TestMain(m *testing.M) { os.Exit(startAndRun(m)) }

func startAndRun(m *testing.M) int {
	var err error
	shared.google, err = fakestorage.NewServerWithOptions(fakestorage.Options{Scheme: "http", Host: "127.0.0.1", BucketsLocation: "EU"})
	if err != nil {
		fmt.Fprintln(os.Stderr, "start fake-gcs-server:", err)
		return 1
	}
	defer shared.google.Stop()
	stop, err := shared.startAzurite()
	if err != nil {
		shared.noAzure = fmt.Errorf("start Azurite: %w", err)
		return m.Run()
	}
	defer stop()
	return m.Run()
}

// manifest pins Azurite and all that it depends on.
//
//go:embed testdata/azurite/package.json testdata/azurite/package-lock.json
var manifest embed.FS

// installAzurite returns the directory of Azurite, which npm fetches once for all runs.
func installAzurite() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	files, sum := map[string][]byte{}, sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		if files[name], err = manifest.ReadFile("testdata/azurite/" + name); err != nil {
			return "", err
		}
		sum.Write(files[name])
	}
	final := filepath.Join(cache, "gwdr-e2e", fmt.Sprintf("azurite-%.8x", sum.Sum(nil)))
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(final), "new-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, out)
	}
	if err := os.Rename(dir, final); err != nil {
		if _, statErr := os.Stat(final); statErr != nil {
			return "", err
		}
	}
	return final, nil
}

// startAzurite starts the server on a port that the system chooses. It ends when stop is called, or with this process.
func (s *servers) startAzurite() (stop func(), err error) {
	dir, err := installAzurite()
	if err != nil {
		return nil, err
	}
	var key [32]byte
	rand.Read(key[:])
	s.key = base64.StdEncoding.EncodeToString(key[:])
	cmd := exec.Command("sh", "-c", `"$@" & server=$!; read -r _; kill $server; wait $server`, "sh",
		"node", filepath.Join(dir, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck")
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+account+":"+s.key)
	cmd.Stderr = os.Stderr
	life, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		life.Close()
		cmd.Wait()
	}
	patience := time.AfterFunc(30*time.Second, func() { life.Close() })
	defer patience.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), "successfully listens on "); ok {
			s.azure = url + "/" + account
			go io.Copy(io.Discard, out)
			return stop, nil
		}
	}
	stop()
	return nil, errors.New("it does not say where it listens")
}

// cloud is one kind of location, as the tests see it from both sides.
type cloud struct {
	name string
	// bucket makes a bucket and returns the location's URL.
	bucket func(t *testing.T) string
	// overwrite puts content over the object, as an intruder would.
	overwrite func(t *testing.T, bucket, key, content string)
}

func clouds() []cloud {
	return []cloud{
		{"google", googleBucket, googleOverwrite},
		{"azure", azureContainer, azureOverwrite},
	}
}

func forEach(t *testing.T, test func(t *testing.T, c cloud)) {
	for _, c := range clouds() {
		t.Run(c.name, func(t *testing.T) { test(t, c) })
	}
}

func newName() string { return fmt.Sprintf("bucket-%d", shared.buckets.Add(1)) }

func googleBucket(t *testing.T) string {
	t.Helper()
	name := newName()
	shared.google.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name})
	return "gs://" + name + "/some/prefix?endpoint=" + shared.google.URL()
}

func googleOverwrite(t *testing.T, bucket, key, content string) {
	t.Helper()
	w := shared.google.Client().Bucket(bucket).Object(key).NewWriter(t.Context())
	io.WriteString(w, content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func googleVersions(t *testing.T, bucket string) (n int) {
	t.Helper()
	for items := shared.google.Client().Bucket(bucket).Objects(t.Context(), &storage.Query{Versions: true}); ; n++ {
		if _, err := items.Next(); err != nil {
			return n
		}
	}
}

func azureClient(t *testing.T, name string) *container.Client {
	t.Helper()
	key, err := azureblob.NewSharedKeyCredential(account, shared.key)
	if err != nil {
		t.Fatal(err)
	}
	client, err := container.NewClientWithSharedKeyCredential(shared.azure+"/"+name, key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func azureContainer(t *testing.T) string {
	t.Helper()
	needAzure(t)
	name := newName()
	if _, err := azureClient(t, name).Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return "azblob://" + name + "/some/prefix?endpoint=" + shared.azure
}

// needAzure skips a test for which there is no Node.js or no npm registry; in CI that is a failure.
func needAzure(t *testing.T) {
	t.Helper()
	switch {
	case shared.noAzure != nil && os.Getenv("CI") == "true":
		t.Fatal(shared.noAzure)
	case shared.noAzure != nil:
		t.Skip(shared.noAzure)
	}
}

func azureOverwrite(t *testing.T, name, key, content string) {
	t.Helper()
	if _, err := azureClient(t, name).NewBlockBlobClient(key).UploadBuffer(t.Context(), []byte(content), nil); err != nil {
		t.Fatal(err)
	}
}

// parse returns the options of the URL, with the account's key.
func parse(t *testing.T, url string) blob.Options {
	t.Helper()
	o, err := blob.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	if o.Scheme == blob.Azure {
		o.Key = blob.Secret(shared.key)
	}
	return o
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// openNew returns a location in a new bucket, and the bucket's name.
func (c cloud) openNew(t *testing.T, dial dialer) (*blob.Location, string) {
	t.Helper()
	o := parse(t, c.bucket(t))
	o.DialContext = dial
	return blob.Open(o), o.Bucket
}
