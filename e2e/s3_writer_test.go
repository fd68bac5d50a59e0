package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/s3"
)

// writerPolicy is what a writer needs, and no more. %[1]s is the account, %[2]s the bucket.
const writerPolicy = `{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Principal": {"AWS": "%[1]s"}, "Resource": "arn:aws:s3:::%[2]s",
   "Action": ["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning"]},
  {"Effect": "Allow", "Principal": {"AWS": "%[1]s"}, "Resource": "arn:aws:s3:::%[2]s/*",
   "Action": ["s3:PutObject", "s3:GetObject", "s3:GetObjectVersion", "s3:PutObjectRetention", "s3:GetObjectRetention", "s3:AbortMultipartUpload"]},
  {"Effect": "Deny", "Principal": {"AWS": "%[1]s"}, "Resource": "arn:aws:s3:::%[2]s/*",
   "Action": ["s3:DeleteObject", "s3:DeleteObjectVersion", "s3:BypassGovernanceRetention"]}]}`

// writer opens the bucket as the account that may not delete.
func (s *server) writer(t *testing.T, bucket, lock string) *s3.Location {
	t.Helper()
	policy := fmt.Sprintf(writerPolicy, writerKey, bucket)
	if _, err := s.client.PutBucketPolicy(t.Context(), &awss3.PutBucketPolicyInput{Bucket: &bucket, Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	options := s.options(t, bucket, lock)
	options.PartSize = partSize
	options.Credentials = credentials.NewStaticCredentialsProvider(writerKey, writerSecret, "")
	return openOptions(t, options)
}

// TestConformanceAsWriter: the rights of the writer's policy are all that a location needs.
func TestConformanceAsWriter(t *testing.T) {
	for _, lock := range []string{"", "compliance/1h"} {
		t.Run("lock "+lock, func(t *testing.T) {
			backuptest.Conformance(t, func(t *testing.T) backup.Location {
				return shared.writer(t, shared.bucket(t, lock != ""), lock)
			})
		})
	}
}

func (s *server) versioned(t *testing.T, status types.BucketVersioningStatus, bucket string) string {
	t.Helper()
	_, err := s.client.PutBucketVersioning(t.Context(), &awss3.PutBucketVersioningInput{
		Bucket: &bucket, VersioningConfiguration: &types.VersioningConfiguration{Status: status},
	})
	if err != nil {
		t.Fatal(err)
	}
	return bucket
}

// TestProbe tries what who can do where. A test is followed by + if the store let it destroy something.
func TestProbe(t *testing.T) {
	plain := func(t *testing.T) string { return shared.bucket(t, false) }
	versions := func(t *testing.T) string { return shared.versioned(t, types.BucketVersioningStatusEnabled, plain(t)) }
	locked := func(t *testing.T) string { return shared.bucket(t, true) }
	for _, c := range []struct {
		name      string
		bucket    func(*testing.T) string
		lock      string
		writer    bool
		tests     string
		immutable bool
	}{
		{"administrator, plain", plain, "", false, "lock+ overwrite+ delete+", false},
		{"administrator, versions", versions, "", false, "lock+ overwrite delete delete-version+", false},
		{"administrator, governance", locked, "governance/1h", false, "lock overwrite delete delete-version+", false},
		{"administrator, compliance", locked, "compliance/1h", false, "lock overwrite delete delete-version", true},
		{"writer, plain", plain, "", true, "lock+ overwrite+ delete delete-version", false},
		{"writer, versions", versions, "", true, "lock+ overwrite delete delete-version", true},
		{"writer, governance", locked, "governance/1h", true, "lock overwrite delete delete-version", true},
		{"writer, compliance", locked, "compliance/1d", true, "lock overwrite delete delete-version", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bucket := c.bucket(t)
			l := openOptions(t, shared.options(t, bucket, c.lock))
			if c.writer {
				l = shared.writer(t, bucket, c.lock)
			}
			for range 4 {
				got, err := l.Probe(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if s := inShort(got.Tests); s != c.tests || !got.CreateOnly || got.Immutable != c.immutable {
					t.Errorf("Probe() = %+v (%s), want %s and immutable %v", got, s, c.tests, c.immutable)
				}
			}
			if n := shared.layers(t, bucket, "gwdr1/canary"); n > 3 {
				t.Errorf("%d versions and markers of the canary pile up", n)
			}
		})
	}
}

func inShort(tests []backup.Test) string {
	var words []string
	for _, test := range tests {
		word := test.What
		if !test.Denied {
			word += "+"
		}
		if test.Detail == "" {
			word += " (says nothing)"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// layers counts the versions and delete markers of the object.
func (s *server) layers(t *testing.T, bucket, name string) int {
	t.Helper()
	key := "some/prefix/" + name
	found, err := s.client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, v := range found.Versions {
		if *v.Key == key {
			n++
		}
	}
	for _, m := range found.DeleteMarkers {
		if *m.Key == key {
			n++
		}
	}
	return n
}

// TestProbeOfAnOldCanary: it is from before the bucket had versions, and what its name stands for can still be destroyed.
func TestProbeOfAnOldCanary(t *testing.T) {
	bucket := shared.bucket(t, false)
	key := aws.String("some/prefix/gwdr1/canary")
	if _, err := shared.client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: key, Body: strings.NewReader("old")}); err != nil {
		t.Fatal(err)
	}
	shared.versioned(t, types.BucketVersioningStatusEnabled, bucket)
	c, err := openOptions(t, shared.options(t, bucket, "")).Probe(t.Context())
	if err != nil || c.Immutable || !c.CreateOnly || inShort(c.Tests) != "lock+ overwrite delete delete-version+" {
		t.Errorf("Probe() = %+v, %v", c, err)
	}
	if n := shared.layers(t, bucket, "gwdr1/canary"); n != 0 {
		t.Errorf("%d versions and markers are left", n)
	}
}

// lay puts other bytes and a delete marker over the object, as an intruder would.
func (s *server) lay(t *testing.T, bucket, name string) {
	t.Helper()
	key := aws.String("some/prefix/" + name)
	_, err := s.client.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: &bucket, Key: key, Body: strings.NewReader("ransom")})
	if err == nil {
		_, err = s.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &bucket, Key: key})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestRemove(t *testing.T) {
	for _, c := range []struct {
		name   string
		bucket func(*testing.T) string
		lay    bool
	}{
		{"plain", func(t *testing.T) string { return shared.bucket(t, false) }, false},
		{"versions", func(t *testing.T) string {
			return shared.versioned(t, types.BucketVersioningStatusEnabled, shared.bucket(t, false))
		}, true},
		{"lock", func(t *testing.T) string { return shared.bucket(t, true) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bucket := c.bucket(t)
			l := openOptions(t, shared.options(t, bucket, ""))
			put(t, l, "gwdr1/a", "content")
			put(t, l, "gwdr1/ab", "another")
			if c.lay {
				shared.lay(t, bucket, "gwdr1/a")
			}
			for range 2 {
				if err := l.Remove(t.Context(), "gwdr1/a"); err != nil {
					t.Fatal(err)
				}
			}
			if n := shared.layers(t, bucket, "gwdr1/a"); n != 0 {
				t.Errorf("%d versions and markers are left", n)
			}
			put(t, l, "gwdr1/a", "anew")
			if got := get(t, l, "gwdr1/ab"); got != "another" {
				t.Errorf("the object beside it holds %q", got)
			}
		})
	}
}

// TestRemoveFromBeforeVersions: a plain delete would leave it under a marker.
func TestRemoveFromBeforeVersions(t *testing.T) {
	bucket := shared.bucket(t, false)
	l := openOptions(t, shared.options(t, bucket, ""))
	put(t, l, "gwdr1/a", "content")
	shared.versioned(t, types.BucketVersioningStatusEnabled, bucket)
	if err := l.Remove(t.Context(), "gwdr1/a"); err != nil {
		t.Fatal(err)
	}
	if n := shared.layers(t, bucket, "gwdr1/a"); n != 0 {
		t.Errorf("%d versions and markers are left", n)
	}
}

// TestRemoveIsForPruners: the writer may not; who prunes may once the lock has run out, or if it is a governance lock and
// bypassing it is asked for.
func TestRemoveIsForPruners(t *testing.T) {
	bucket := shared.bucket(t, true)
	writer := shared.writer(t, bucket, "governance/1h")
	put(t, writer, "gwdr1/a", "content")
	shared.lay(t, bucket, "gwdr1/a")
	pruner := shared.options(t, bucket, "governance/1h")
	for name, l := range map[string]*s3.Location{"writer": writer, "pruner": openOptions(t, pruner)} {
		err := l.Remove(t.Context(), "gwdr1/a")
		if !errors.Is(err, s3.ErrDenied) || !strings.Contains(err.Error(), "AccessDenied") || !strings.Contains(err.Error(), "gwdr1/a") {
			t.Errorf("Remove as %s = %v", name, err)
		}
		if name == "pruner" && !strings.Contains(err.Error(), "GOVERNANCE until 20") {
			t.Errorf("Remove as %s does not name the lock: %v", name, err)
		}
		if got := get(t, writer, "gwdr1/a"); got != "content" {
			t.Errorf("after Remove as %s: %q", name, got)
		}
	}
	pruner.BypassGovernance = true
	if err := openOptions(t, pruner).Remove(t.Context(), "gwdr1/a"); err != nil {
		t.Errorf("Remove with bypass: %v", err)
	}
	if n := shared.layers(t, bucket, "gwdr1/a"); n != 0 {
		t.Errorf("%d versions and markers are left", n)
	}
}

// TestRemoveAfterCompliance: until the lock has run out nobody may, and then the pruner.
func TestRemoveAfterCompliance(t *testing.T) {
	bucket := shared.bucket(t, true)
	put(t, shared.writer(t, bucket, "compliance/4s"), "gwdr1/a", "content")
	options := shared.options(t, bucket, "")
	options.BypassGovernance = true
	pruner := openOptions(t, options)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	refused := 0
	for {
		err := pruner.Remove(ctx, "gwdr1/a")
		if err == nil {
			break
		}
		if !errors.Is(err, s3.ErrDenied) {
			t.Fatal(err)
		}
		refused++
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
	if n := shared.layers(t, bucket, "gwdr1/a"); n != 0 || refused == 0 {
		t.Errorf("%d versions are left; refused %d times", n, refused)
	}
}

func TestRenew(t *testing.T) {
	for _, mode := range []string{"governance", "compliance"} {
		bucket := shared.bucket(t, true)
		short, long := shared.writer(t, bucket, mode+"/1h"), shared.writer(t, bucket, mode+"/10h")
		put(t, short, "gwdr1/a", "content")
		first := shared.until(t, bucket, "gwdr1/a")
		for _, l := range []*s3.Location{short, openOptions(t, shared.options(t, bucket, ""))} { // long enough; no lock
			if err := l.Renew(t.Context(), "gwdr1/a"); err != nil {
				t.Errorf("%s: %v", mode, err)
			}
			if got := shared.until(t, bucket, "gwdr1/a"); !got.Equal(first) {
				t.Errorf("%s: lock until %s became %s", mode, first, got)
			}
		}
		shared.lay(t, bucket, "gwdr1/a")
		if err := long.Renew(t.Context(), "gwdr1/a"); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
		if left := time.Until(shared.until(t, bucket, "gwdr1/a")); left < 9*time.Hour {
			t.Errorf("%s: the lock holds for %s", mode, left)
		}
		if err := long.Renew(t.Context(), "gwdr1/none"); !errors.Is(err, backup.ErrNotExist) {
			t.Errorf("%s: Renew of nothing = %v", mode, err)
		}
	}
}

// until returns when the lock of the first version of the object runs out.
func (s *server) until(t *testing.T, bucket, name string) time.Time {
	t.Helper()
	key := aws.String("some/prefix/" + name)
	found, err := s.client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: &bucket, Prefix: key})
	if err != nil || len(found.Versions) == 0 {
		t.Fatal(err, "no version")
	}
	lock, err := s.client.GetObjectRetention(t.Context(), &awss3.GetObjectRetentionInput{
		Bucket: &bucket, Key: key, VersionId: found.Versions[len(found.Versions)-1].VersionId,
	})
	if err != nil {
		t.Fatal(err)
	}
	return aws.ToTime(lock.Retention.RetainUntilDate)
}

func TestQuarantine(t *testing.T) {
	l := shared.open(t, "")
	put(t, l, "gwdr1/a+b c", "damaged")
	to, err := l.Quarantine(t.Context(), "gwdr1/a+b c")
	if err != nil || strings.HasPrefix(to, "gwdr1/") {
		t.Fatalf("Quarantine() = %q, %v", to, err)
	}
	if got := get(t, l, to); got != "damaged" {
		t.Errorf("%s holds %q", to, got)
	}
	if _, err := l.Get(t.Context(), "gwdr1/a+b c"); !errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get of the old name = %v", err)
	}
	if objects, err := l.List(t.Context(), "gwdr1/"); err != nil || len(objects) != 0 {
		t.Errorf("List() = %v, %v", objects, err)
	}
	put(t, l, "gwdr1/a+b c", "whole")
	if _, err := l.Quarantine(t.Context(), "gwdr1/none"); !errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Quarantine of nothing = %v", err)
	}
}

// TestNoQuarantineOfVersions: what is deleted there stays, so it is refused before anything is done.
func TestNoQuarantineOfVersions(t *testing.T) {
	for _, lock := range []string{"", "governance/1h"} {
		bucket := shared.versioned(t, types.BucketVersioningStatusEnabled, shared.bucket(t, lock != ""))
		l := openOptions(t, shared.options(t, bucket, lock))
		put(t, l, "gwdr1/a", "damaged")
		if _, err := l.Quarantine(t.Context(), "gwdr1/a"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "version") {
			t.Errorf("lock %q: Quarantine() = %v", lock, err)
		}
		if objects, err := l.List(t.Context(), ""); err != nil || len(objects) != 1 {
			t.Errorf("lock %q: List() = %v, %v", lock, objects, err)
		}
	}
}
