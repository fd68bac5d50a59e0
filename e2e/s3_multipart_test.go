package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/s3"
)

// partSize is the smallest that stores take.
const partSize = 5 << 20

// content returns size bytes that the seed decides.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	source.Read(b)
	return b
}

func putBytes(t *testing.T, l *s3.Location, name string, body []byte) error {
	t.Helper()
	return l.Put(t.Context(), name, bytes.NewReader(body), int64(len(body)))
}

// wantBytes reads the object and compares it with the body.
func wantBytes(t *testing.T, l *s3.Location, name string, body []byte) {
	t.Helper()
	r, err := l.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	if want := sha256.Sum256(body); !bytes.Equal(h.Sum(nil), want[:]) {
		t.Errorf("%s came back with other bytes", name)
	}
}

// wantOneVersion makes sure that the bucket holds nothing under the name but one version.
func wantOneVersion(t *testing.T, bucket, name string) {
	t.Helper()
	key := "some/prefix/" + name
	versions, err := shared.client.ListObjectVersions(t.Context(), &awss3.ListObjectVersionsInput{Bucket: &bucket, Prefix: &key})
	if err != nil {
		t.Fatal(err)
	}
	if len(versions.Versions) != 1 || len(versions.DeleteMarkers) != 0 {
		t.Errorf("%s has %d versions and %d delete markers", name, len(versions.Versions), len(versions.DeleteMarkers))
	}
}

// dropParts ends all uploads.
func dropParts(t *testing.T, bucket string) {
	t.Helper()
	uploads, err := shared.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &bucket})
	for _, u := range uploads.Uploads {
		_, abortErr := shared.client.AbortMultipartUpload(t.Context(), &awss3.AbortMultipartUploadInput{Bucket: &bucket, Key: u.Key, UploadId: u.UploadId})
		err = errors.Join(err, abortErr)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func wantNoParts(t *testing.T, bucket string) {
	t.Helper()
	uploads, err := shared.client.ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(uploads.Uploads); n != 0 {
		t.Errorf("%d uploads were left behind", n)
	}
}

func (s *server) openParts(t *testing.T, lock string) (*s3.Location, string) {
	t.Helper()
	bucket := s.bucket(t, lock != "")
	options := s.options(t, bucket, lock)
	options.PartSize = partSize
	return openOptions(t, options), bucket
}

// TestConformanceInParts: what the suite puts as a large object goes up in seven parts.
func TestConformanceInParts(t *testing.T) {
	for _, lock := range []string{"", "compliance/1h"} {
		t.Run("lock "+lock, func(t *testing.T) {
			backuptest.Conformance(t, func(t *testing.T) backup.Location {
				l, _ := shared.openParts(t, lock)
				return l
			})
		})
	}
}

func TestPartSizes(t *testing.T) {
	for _, lock := range []string{"", "governance/1h"} {
		l, bucket := shared.openParts(t, lock)
		for _, size := range []int{0, 1, partSize - 1, partSize, partSize + 1, 2 * partSize, 3*partSize - 1, 3*partSize + 1} {
			name, body := fmt.Sprintf("gwdr1/%d", size), content(1, size)
			for range 2 { // the second finds the first
				if err := putBytes(t, l, name, body); err != nil {
					t.Fatalf("lock %q: put of %d bytes: %v", lock, size, err)
				}
			}
			wantBytes(t, l, name, body)
			wantOneVersion(t, bucket, name)
			wantLock(t, bucket, name, lock != "")
			if size == 0 {
				continue
			}
			body[size/2] ^= 1
			if err := putBytes(t, l, name, body); !errors.Is(err, backup.ErrExists) {
				t.Errorf("lock %q: put of %d other bytes: %v", lock, size, err)
			}
			if err := putBytes(t, l, name, body[1:]); !errors.Is(err, backup.ErrExists) {
				t.Errorf("lock %q: put of less than %d bytes: %v", lock, size, err)
			}
		}
	}
}

func wantLock(t *testing.T, bucket, name string, locked bool) {
	t.Helper()
	head, err := shared.client.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: &bucket, Key: aws.String("some/prefix/" + name)})
	if err != nil {
		t.Fatal(err)
	}
	if got := head.ObjectLockMode != ""; got != locked {
		t.Errorf("%s has the lock %q", name, head.ObjectLockMode)
	}
}

// TestOtherPartSize: the same bytes are the same, in whatever pieces they came.
func TestOtherPartSize(t *testing.T) {
	bucket := shared.bucket(t, false)
	body := content(2, 3*partSize)
	for i, size := range []int64{partSize, partSize + 1, 2 * partSize, 16 << 20} {
		options := shared.options(t, bucket, "")
		options.PartSize = size
		l := openOptions(t, options)
		if err := putBytes(t, l, "gwdr1/a", body); err != nil {
			t.Errorf("parts of %d bytes: %v", size, err)
		}
		if i == 0 {
			continue
		}
		other := bytes.Clone(body)
		other[len(other)-1] ^= 1
		if err := putBytes(t, l, "gwdr1/a", other); !errors.Is(err, backup.ErrExists) {
			t.Errorf("parts of %d bytes, other content: %v", size, err)
		}
	}
	wantOneVersion(t, bucket, "gwdr1/a")
	wantNoParts(t, bucket)
}

// TestWritersInParts: of several writers of one name, all in parts and at once, one wins, and all know.
func TestWritersInParts(t *testing.T) {
	for _, lock := range []string{"", "compliance/1h"} {
		for _, same := range []bool{false, true} {
			t.Run(fmt.Sprintf("lock %s, same bytes %v", lock, same), func(t *testing.T) { writersInParts(t, lock, same) })
		}
	}
}

func writersInParts(t *testing.T, lock string, same bool) {
	const writers = 4
	l, bucket := shared.openParts(t, lock)
	var bodies [writers][]byte
	var errs [writers]error
	var wg sync.WaitGroup
	for i := range writers {
		if bodies[i] = content(uint64(i), partSize+1000); same {
			bodies[i] = content(0, partSize+1000)
		}
		wg.Go(func() { errs[i] = putBytes(t, l, "gwdr1/a", bodies[i]) })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		switch {
		case err == nil:
			won++
			wantBytes(t, l, "gwdr1/a", bodies[i])
		case !errors.Is(err, backup.ErrExists) || same:
			t.Errorf("writer %d: %v", i, err)
		}
	}
	if same && won != writers || !same && won != 1 {
		t.Errorf("%d of %d writers won", won, writers)
	}
	wantOneVersion(t, bucket, "gwdr1/a")
	wantNoParts(t, bucket)
}
