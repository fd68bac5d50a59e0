package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/fsouza/fake-gcs-server/fakestorage"
	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/blob"
)

func TestConformance(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		backuptest.Conformance(t, func(t *testing.T) backup.Location {
			l, _ := c.openNew(t, nil)
			return l
		})
	})
}

func put(t *testing.T, l backup.Location, name, content string) {
	t.Helper()
	if err := l.Put(t.Context(), name, strings.NewReader(content), int64(len(content))); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, l backup.Location, name string) string {
	t.Helper()
	r, err := l.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestRaceInParts: objects of several parts are created by one writer only, and nobody's parts get among another's.
func TestRaceInParts(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		l, _ := c.openNew(t, nil)
		const writers, size = 4, 20<<20 + 7
		bodies, errs := make([][]byte, writers), make([]error, writers)
		var wg sync.WaitGroup
		for i := range writers {
			bodies[i] = bytes.Repeat([]byte{byte('a' + i)}, size)
			wg.Go(func() { errs[i] = l.Put(t.Context(), "gwdr1/big", bytes.NewReader(bodies[i]), size) })
		}
		wg.Wait()
		stored, winners := sha256.Sum256([]byte(get(t, l, "gwdr1/big"))), 0
		for i, err := range errs {
			if err == nil {
				winners++
				if stored != sha256.Sum256(bodies[i]) {
					t.Errorf("writer %d won, and other bytes are stored", i)
				}
			} else if !errors.Is(err, backup.ErrExists) {
				t.Errorf("writer %d: %v, want ErrExists", i, err)
			}
		}
		if winners != 1 {
			t.Errorf("%d writers won", winners)
		}
	})
}

// fickle is a body that is another one from the second time on that it is read.
type fickle struct {
	io.ReadSeeker
	then  io.ReadSeeker
	seeks int
}

func (f *fickle) Seek(offset int64, whence int) (int64, error) {
	if f.seeks++; f.seeks == 2 {
		f.ReadSeeker = f.then
	}
	return f.ReadSeeker.Seek(offset, whence)
}

// broken fails where its content ends.
type broken struct{ *bytes.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = errors.New("disk is broken")
	}
	return n, err
}

// TestBodyChanges: what was read for the upload is what was measured before, or there is no object.
func TestBodyChanges(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		l, _ := c.openNew(t, nil)
		for _, size := range []int{7, 8 << 20, 20<<20 + 7} {
			content := bytes.Repeat([]byte("a"), size)
			for what, then := range map[string]io.ReadSeeker{
				"shorter": bytes.NewReader(content[1:]),
				"longer":  bytes.NewReader(append(content, 'a')),
				"other":   bytes.NewReader(append(bytes.Clone(content[1:]), 'b')),
				"broken":  broken{bytes.NewReader(content[:size/2])},
			} {
				body := &fickle{ReadSeeker: bytes.NewReader(content), then: then}
				if err := l.Put(t.Context(), "gwdr1/a", body, int64(size)); err == nil || body.seeks < 2 {
					t.Errorf("%s, %d bytes: Put = %v", what, size, err)
				}
				if _, err := l.Get(t.Context(), "gwdr1/a"); !errors.Is(err, backup.ErrNotExist) {
					t.Fatalf("%s, %d bytes: Get = %v, want ErrNotExist", what, size, err)
				}
			}
		}
	})
}

func TestProbe(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		l, _ := c.openNew(t, nil)
		for range 2 {
			got, err := l.Probe(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for i := range got.Tests {
				got.Tests[i].Detail = ""
			}
			want := backup.Capabilities{CreateOnly: true, Tests: []backup.Test{{What: "overwrite"}, {What: "delete"}, {What: "lock"}}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		}
		other, _ := c.openNew(t, nil)
		first, err := l.Domain(t.Context())
		second, otherErr := other.Domain(t.Context())
		if err != nil || otherErr != nil || first != second || !strings.HasPrefix(first, c.name+" 127.0.0.1:") {
			t.Errorf("domains %q and %q, %v, %v", first, second, err, otherErr)
		}
	})
}

// signed returns the location with a signature for the permissions instead of the account's key.
func signed(t *testing.T, url string, permissions sas.ContainerPermissions) *blob.Location {
	t.Helper()
	o := parse(t, url)
	address, err := azureClient(t, o.Bucket).GetSASURL(permissions, time.Now().Add(time.Hour), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, signature, _ := strings.Cut(address, "?")
	o.Key, o.SAS = "", blob.Secret(signature)
	return blob.Open(o)
}

// TestWriterThatMayOnlyCreate: a signature without the rights to write and to delete makes the writer's copies immutable
// to it, and hinders nothing.
func TestWriterThatMayOnlyCreate(t *testing.T) {
	l := signed(t, azureContainer(t), sas.ContainerPermissions{Create: true, Read: true, List: true})
	for range 2 {
		c, err := l.Probe(t.Context())
		if err != nil || !c.CreateOnly || !c.Immutable || !c.Tests[0].Denied || !c.Tests[1].Denied {
			t.Errorf("Probe() = %+v, %v; want create-only and immutable", c, err)
		}
	}
	put(t, l, "gwdr1/a", "content")
	put(t, l, "gwdr1/a", "content")
	if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("other"), 5); !errors.Is(err, backup.ErrExists) {
		t.Errorf("Put of other bytes = %v, want ErrExists", err)
	}
	if err := l.Remove(t.Context(), "gwdr1/a"); err == nil || !strings.Contains(err.Error(), "403") {
		t.Errorf("Remove = %v, want 403", err)
	}
	if to, err := l.Quarantine(t.Context(), "gwdr1/a"); err == nil {
		t.Errorf("Quarantine to %s succeeded", to)
	}
	if got := get(t, l, "gwdr1/a"); got != "content" {
		t.Errorf("object holds %q", got)
	}
}

// TestDenied: what may not be read is not taken for what is not there.
func TestDenied(t *testing.T) {
	url := azureContainer(t)
	full := blob.Open(parse(t, url))
	put(t, full, "gwdr1/a", "content")
	l := signed(t, url, sas.ContainerPermissions{List: true})
	if _, err := l.Get(t.Context(), "gwdr1/a"); err == nil || errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get = %v", err)
	}
}

func TestRemove(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		l, _ := c.openNew(t, nil)
		put(t, l, "gwdr1/a", "content")
		put(t, l, "gwdr1/ab", "stays")
		for range 2 { // nothing there is done
			if err := l.Remove(t.Context(), "gwdr1/a"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Get(t.Context(), "gwdr1/a"); !errors.Is(err, backup.ErrNotExist) {
			t.Errorf("Get = %v, want ErrNotExist", err)
		}
		if got := get(t, l, "gwdr1/ab"); got != "stays" {
			t.Errorf("the other object holds %q", got)
		}
	})
}

func TestRemoveVersions(t *testing.T) {
	name := newName()
	shared.google.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: name, VersioningEnabled: true})
	l := blob.Open(parse(t, "gs://"+name+"?endpoint="+shared.google.URL()))
	put(t, l, "gwdr1/a", "content")
	googleOverwrite(t, name, "gwdr1/a", "ransom")
	if n := googleVersions(t, name); n != 2 {
		t.Fatalf("%d versions, want 2", n)
	}
	if err := l.Remove(t.Context(), "gwdr1/a"); err != nil || googleVersions(t, name) != 0 {
		t.Errorf("Remove = %v, and %d versions are left", err, googleVersions(t, name))
	}
}

// TestRemoveSnapshots: Azure does not delete an object that has snapshots unless told to.
func TestRemoveSnapshots(t *testing.T) {
	l, name := clouds()[1].openNew(t, nil)
	put(t, l, "gwdr1/a", "content")
	if _, err := azureClient(t, name).NewBlobClient("some/prefix/gwdr1/a").CreateSnapshot(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := l.Remove(t.Context(), "gwdr1/a"); err != nil {
		t.Fatal(err)
	}
	put(t, l, "gwdr1/a", "other")
}

func TestQuarantine(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		l, bucket := c.openNew(t, nil)
		if _, err := l.Quarantine(t.Context(), "gwdr1/a"); !errors.Is(err, backup.ErrNotExist) {
			t.Errorf("Quarantine of nothing = %v, want ErrNotExist", err)
		}
		put(t, l, "gwdr1/a", "content")
		seen := map[string]bool{}
		for _, damage := range []string{"damage", "damage again", strings.Repeat("much ", 4<<20)} {
			c.overwrite(t, bucket, "some/prefix/gwdr1/a", damage)
			to, err := l.Quarantine(t.Context(), "gwdr1/a")
			if err != nil {
				t.Fatal(err)
			}
			if seen[to] || strings.HasPrefix(to, "gwdr1/") || get(t, l, to) != damage {
				t.Errorf("moved to %s, which is in use or holds something else", to)
			}
			seen[to] = true
			if objects, err := l.List(t.Context(), ""); err != nil || len(objects) > 0 {
				t.Errorf("List() = %v, %v, want nothing", objects, err)
			}
			put(t, l, "gwdr1/a", "content")
		}
	})
}

// deaf is a connection that breaks instead of giving an answer, once the answer is there.
type deaf struct{ net.Conn }

func (d *deaf) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	if err == nil && n > 0 {
		d.Conn.Close()
		return 0, errors.New("connection reset")
	}
	return n, err
}

// TestLostAnswer: the server took the object but its answer got lost. The SDK's second attempt meets the first one.
func TestLostAnswer(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		lose := true
		l, _ := c.openNew(t, func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
			if err != nil || !lose {
				return conn, err
			}
			lose = false
			return &deaf{Conn: conn}, nil
		})
		put(t, l, "gwdr1/a", "content")
		if lose {
			t.Fatal("nothing was sent")
		}
		if got := get(t, l, "gwdr1/a"); got != "content" {
			t.Errorf("object holds %q", got)
		}
	})
}

// TestNothingListens: a dead endpoint is an error within seconds, and no object is thought to be missing.
func TestNothingListens(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		l, _ := c.openNew(t, func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") })
		wantErrors(t, l, "connection refused")
	})
}

// TestNoBucket: objects are not missing where the bucket is.
func TestNoBucket(t *testing.T) {
	needAzure(t)
	azure := parse(t, "azblob://no-such?endpoint="+shared.azure)
	wantErrors(t, blob.Open(azure), "404")
}

func wantErrors(t *testing.T, l *blob.Location, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, getErr := l.Get(ctx, "gwdr1/a")
	_, listErr := l.List(ctx, "")
	_, probeErr := l.Probe(ctx)
	for op, err := range map[string]error{
		"put": l.Put(ctx, "gwdr1/a", strings.NewReader("x"), 1), "get": getErr, "list": listErr, "probe": probeErr,
		"remove": l.Remove(ctx, "gwdr1/a"),
	} {
		if err == nil || errors.Is(err, backup.ErrNotExist) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %s", op, err, want)
		}
	}
}

// TestSilence: a server that takes a connection and never answers is left when the context says so.
func TestSilence(t *testing.T) {
	forEach(t, func(t *testing.T, c cloud) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		l, _ := c.openNew(t, func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, silent.Addr().String())
		})
		for op, do := range map[string]func(context.Context) error{
			"put": func(ctx context.Context) error { return l.Put(ctx, "gwdr1/a", strings.NewReader("x"), 1) },
			"get": func(ctx context.Context) error { _, err := l.Get(ctx, "gwdr1/a"); return err },
		} {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			started := time.Now()
			if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(started) > 5*time.Second {
				t.Errorf("%s: %v after %s", op, err, time.Since(started))
			}
			cancel()
		}
	})
}
