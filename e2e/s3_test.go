package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup"
	"gwdr/backup/backuptest"
)

func TestConformance(t *testing.T) {
	backuptest.Conformance(t, func(t *testing.T) backup.Location { return shared.open(t, "") })
}

func TestConformanceLocked(t *testing.T) {
	backuptest.Conformance(t, func(t *testing.T) backup.Location { return shared.open(t, "compliance/1h") })
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

// TestObjectLock: under compliance nobody deletes what was written, and what is laid over it does not hide it.
func TestObjectLock(t *testing.T) {
	l, bucket := shared.openBucket(t, "compliance/1h")
	put(t, l, "gwdr1/a", "content")
	key := aws.String("some/prefix/gwdr1/a")
	head, err := shared.client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if head.ObjectLockMode != "COMPLIANCE" || head.ObjectLockRetainUntilDate == nil {
		t.Errorf("object has the lock %q until %v", head.ObjectLockMode, head.ObjectLockRetainUntilDate)
	}
	_, err = shared.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{
		Bucket: &bucket, Key: key, VersionId: head.VersionId, BypassGovernanceRetention: aws.Bool(true),
	})
	if err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("deletion of a locked version: %v, want AccessDenied", err)
	}
	if _, err := shared.client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: key, Body: strings.NewReader("ransom")}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, l, "gwdr1/a"); got != "content" {
		t.Errorf("after an overwrite: %q", got)
	}
	if _, err := shared.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &bucket, Key: key}); err != nil {
		t.Fatal(err)
	}
	if got := get(t, l, "gwdr1/a"); got != "content" {
		t.Errorf("behind a delete marker: %q", got)
	}
	objects, err := l.List(t.Context(), "gwdr1/")
	if err != nil || len(objects) != 1 || objects[0].Size != 7 {
		t.Errorf("List() = %v, %v; want the first version alone", objects, err)
	}
	put(t, l, "gwdr1/a", "content") // the next backup finds it done
}

func TestCapabilities(t *testing.T) {
	for lock, immutable := range map[string]bool{"": false, "compliance/1h": true, "governance/1h": false} {
		l := shared.open(t, lock)
		for range 2 {
			c, err := l.Probe(t.Context())
			if err != nil || !c.CreateOnly || c.Immutable != immutable {
				t.Errorf("lock %q: Probe() = %+v, %v; want immutable %v", lock, c, err, immutable)
			}
		}
	}
	first, _ := shared.open(t, "").Domain(t.Context())
	second, _ := shared.open(t, "").Domain(t.Context())
	if first != second || !strings.HasPrefix(first, "s3 s3.test account ") || strings.Contains(first, accessKey) {
		t.Errorf("domains %q and %q", first, second)
	}
}

// TestLockWithoutBucketLock: a lock that the bucket cannot keep is an error, not a silent promise.
func TestLockWithoutBucketLock(t *testing.T) {
	l := shared.openWith(t, shared.bucket(t, false), "compliance/1h", shared.dial)
	if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("x"), 1); err == nil {
		t.Error("a lock in a bucket without Object Lock was accepted")
	}
}

// TestLostAnswer: the server took the object but its answer got lost. The SDK's second attempt meets the first one.
func TestLostAnswer(t *testing.T) {
	bucket := shared.bucket(t, false)
	lose := true
	l := shared.openWith(t, bucket, "", func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := shared.dial(ctx, network, address)
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

// TestNothingListens: a dead endpoint is an error within seconds, and no object is thought to be missing.
func TestNothingListens(t *testing.T) {
	dead := shared.openWith(t, "bucket", "", func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("connection refused")
	})
	if err := dead.Put(t.Context(), "gwdr1/a", bytes.NewReader(nil), 0); err == nil {
		t.Error("put succeeded")
	}
	if _, err := dead.Get(t.Context(), "gwdr1/a"); err == nil || errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get = %v", err)
	}
	if _, err := dead.List(t.Context(), ""); err == nil {
		t.Error("list succeeded")
	}
}
