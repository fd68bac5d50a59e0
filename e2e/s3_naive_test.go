package e2e

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup"
	"gwdr/backup/s3"
)

// naive opens a bucket of a server that does not know If-None-Match.
func naive(t *testing.T, lock string) (l *s3.Location, p *faultProxy, bucket string) {
	t.Helper()
	p, bucket = newFaultProxy(t), shared.bucket(t, lock != "")
	p.set(fault{on: isObject, do: ignoreCondition})
	return openOptions(t, impatient(t, bucket, lock, p)), p, bucket
}

// TestNaiveServer: a server that would overwrite is found out, is asked before each put, and never loses what is there.
func TestNaiveServer(t *testing.T) {
	for _, lock := range []string{"", "compliance/1h"} {
		l, p, bucket := naive(t, lock)
		for _, size := range []int{100, partSize + 100} {
			name := map[bool]string{true: "gwdr1/small", false: "gwdr1/large"}[size == 100]
			body := content(1, size)
			for range 2 {
				if err := putBytes(t, l, name, body); err != nil {
					t.Fatal(err)
				}
			}
			if err := putBytes(t, l, name, content(2, size)); !errors.Is(err, backup.ErrExists) {
				t.Errorf("lock %q: put of other bytes = %v", lock, err)
			}
			wantBytes(t, l, name, body)
			wantOneVersion(t, bucket, name)
		}
		if p.met() == 0 {
			t.Error("the server was not naive")
		}
		for range 3 {
			c, err := l.Probe(t.Context())
			if err != nil || c.CreateOnly || c.Immutable != (lock != "") {
				t.Errorf("lock %q: Probe() = %+v, %v", lock, c, err)
			}
		}
		if err := putBytes(t, l, "gwdr1/small", content(2, 100)); !errors.Is(err, backup.ErrExists) {
			t.Errorf("lock %q: put of other bytes after the probe = %v", lock, err)
		}
	}
}

// TestNaiveRace: another writer comes between the question and the put. Where first versions count, the loser learns it.
func TestNaiveRace(t *testing.T) {
	for _, size := range []int{100, partSize + 100} {
		l, p, bucket := naive(t, "compliance/1h")
		theirs := content(7, size)
		var once sync.Once
		p.set(fault{on: isObject, do: func(p *faultProxy, w http.ResponseWriter, r *http.Request, n int) {
			once.Do(func() {
				direct := openOptions(t, shared.options(t, bucket, "compliance/1h"))
				if err := putBytes(t, direct, "gwdr1/a", theirs); err != nil {
					t.Error(err)
				}
			})
			ignoreCondition(p, w, r, n)
		}})
		if err := putBytes(t, l, "gwdr1/a", content(8, size)); !errors.Is(err, backup.ErrExists) {
			t.Errorf("put of %d bytes = %v, want ErrExists", size, err)
		}
		wantBytes(t, l, "gwdr1/a", theirs)
	}
}

// TestOverADeleteMarker: S3 lets a put with the condition through there, to a location that knows it as create-only. It must
// not count when the first version is another.
func TestOverADeleteMarker(t *testing.T) {
	l, p, bucket := naive(t, "governance/1h")
	p.set(fault{})
	if c, err := l.Probe(t.Context()); err != nil || !c.CreateOnly {
		t.Fatalf("Probe() = %+v, %v", c, err)
	}
	put(t, l, "gwdr1/a", "content")
	key := aws.String("some/prefix/gwdr1/a")
	if _, err := shared.client.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: &bucket, Key: key}); err != nil {
		t.Fatal(err)
	}
	p.set(fault{on: isObject, do: ignoreCondition})
	put(t, l, "gwdr1/a", "content")
	if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("other"), 5); !errors.Is(err, backup.ErrExists) {
		t.Errorf("put of other bytes = %v", err)
	}
	if got := get(t, l, "gwdr1/a"); got != "content" || p.met() != 2 {
		t.Errorf("object holds %q after %d puts", got, p.met())
	}
}

// TestManyProbesOfANaiveServer: where the tests' traces cannot be removed they do not pile up without end.
func TestManyProbesOfANaiveServer(t *testing.T) {
	p, bucket := newFaultProxy(t), shared.bucket(t, true)
	p.set(fault{on: isObject, do: ignoreCondition})
	_, err := shared.client.PutObjectLockConfiguration(t.Context(), &awss3.PutObjectLockConfigurationInput{
		Bucket: &bucket, ObjectLockConfiguration: complianceByDefault(),
	})
	if err != nil {
		t.Fatal(err)
	}
	l := openOptions(t, impatient(t, bucket, "compliance/1h", p))
	var most int
	for range 25 {
		c, err := l.Probe(t.Context())
		if err != nil || c.CreateOnly || !c.Immutable {
			t.Fatalf("Probe() = %+v, %v", c, err)
		}
		most = shared.layers(t, bucket, "gwdr1/canary")
	}
	if most > 20 {
		t.Errorf("%d versions and markers of the canary", most)
	}
}
