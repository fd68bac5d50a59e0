// Package s3 keeps snapshots in a bucket of S3, or of a server that speaks its protocol.
package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
)

// maxObject is what one PUT can carry, in bytes.
const maxObject = 5 << 30

// worthAsking is the size, in bytes, above which Put asks first whether the object is there: a server that refuses an
// upload early closes the connection, and its answer is lost.
const worthAsking = 1 << 20

// Location is a prefix in a bucket. Use Open.
type Location struct {
	options Options
	client  *s3.Client
}

var (
	_ backup.Location = (*Location)(nil)
	_ backup.Prober   = (*Location)(nil)
)

func (l *Location) key(name string) (*string, error) {
	if err := backup.CheckName(name); err != nil {
		return nil, err
	}
	return aws.String(l.options.Prefix + name), nil
}

// Put uploads the object with If-None-Match: *, so that it never replaces one.
func (l *Location) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	key, err := l.key(name)
	if err != nil {
		return err
	}
	sum, err := hashBody(ctx, body, size)
	if err == nil {
		err = l.create(ctx, key, body, size, sum)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// hashBody returns the base64 SHA-256 of the body and makes sure of its size.
func hashBody(ctx context.Context, body io.ReadSeeker, size int64) (string, error) {
	if size > maxObject {
		return "", fmt.Errorf("object has %d bytes, more than one upload can carry", size)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	h := sha256.New()
	n, err := io.Copy(h, struct{ io.Reader }{body})
	if err == nil && n != size {
		err = fmt.Errorf("body has %d bytes, not %d", n, size)
	}
	if err := errors.Join(err, ctx.Err()); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// create uploads the body unless the key is taken. Whatever answer does not say for sure that the object is not there is
// checked: an answer may have been lost, and the SDK's own second attempt then meets its first.
func (l *Location) create(ctx context.Context, key *string, body io.ReadSeeker, size int64, sum string) error {
	if size > worthAsking {
		if err := l.compare(ctx, key, size, sum); err == nil || errors.Is(err, backup.ErrExists) {
			return err
		}
	}
	const attempts = 8
	wait := 20 * time.Millisecond
	for attempt := 1; ; attempt++ {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := l.client.PutObject(ctx, l.putInput(key, body, size, sum))
		if err == nil {
			return nil
		}
		status := statusOf(err)
		if status >= 400 && status < 500 && status != 408 && status != 409 && status != 412 {
			return err
		}
		found := l.compare(ctx, key, size, sum)
		switch {
		case found == nil:
			return nil
		case errors.Is(found, backup.ErrExists), status == 412 && !errors.Is(found, backup.ErrNotExist):
			return found
		case status != 409 && status != 412 || attempt == attempts:
			return err
		}
		// Another upload of this key is on its way (409), or its object cannot be seen yet (412).
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

func (l *Location) putInput(key *string, body io.Reader, size int64, sum string) *s3.PutObjectInput {
	input := &s3.PutObjectInput{
		Bucket: &l.options.Bucket, Key: key, Body: body, ContentLength: &size, ChecksumSHA256: &sum,
		IfNoneMatch: aws.String("*"), ContentType: aws.String("application/octet-stream"),
	}
	if l.options.Lock.For > 0 {
		input.ObjectLockMode = types.ObjectLockMode(l.options.Lock.Mode)
		input.ObjectLockRetainUntilDate = aws.Time(time.Now().Add(l.options.Lock.For).UTC().Truncate(time.Second))
	}
	return input
}

// compare is nil if the object that is there has the size and the hash.
func (l *Location) compare(ctx context.Context, key *string, size int64, sum string) error {
	version, err := l.original(ctx, key)
	if err != nil {
		return err
	}
	head, err := l.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &l.options.Bucket, Key: key, VersionId: version, ChecksumMode: types.ChecksumModeEnabled,
	})
	if statusOf(err) == 404 {
		return backup.ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("compare with what is stored: %w", err)
	}
	stored := aws.ToString(head.ChecksumSHA256)
	if stored == "" || head.ChecksumType == types.ChecksumTypeComposite { // stored by somebody else, in another way
		if stored, err = l.hashStored(ctx, key, version); err != nil {
			return fmt.Errorf("compare with what is stored: %w", err)
		}
	}
	if aws.ToInt64(head.ContentLength) != size || stored != sum {
		return backup.ErrExists
	}
	return nil
}

func (l *Location) hashStored(ctx context.Context, key, version *string) (string, error) {
	object, err := l.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.options.Bucket, Key: key, VersionId: version})
	if err != nil {
		return "", err
	}
	defer object.Body.Close()
	h := sha256.New()
	if _, err := io.Copy(h, object.Body); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// Get opens the object. Under Object Lock that is the first version, whatever was laid over it since: a delete marker
// does not hide it.
func (l *Location) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := l.key(name)
	if err != nil {
		return nil, err
	}
	version, err := l.original(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	object, err := l.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.options.Bucket, Key: key, VersionId: version})
	if statusOf(err) == 404 {
		return nil, fmt.Errorf("get %s: %w", name, backup.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	return object.Body, nil
}

// List returns the objects, by name.
func (l *Location) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	list := l.listCurrent
	if l.options.Lock.For > 0 {
		list = l.listOriginals
	}
	objects, err := list(ctx, l.options.Prefix+prefix)
	if err != nil {
		return nil, fmt.Errorf("list bucket %s: %w", l.options.Bucket, err)
	}
	for i := range objects {
		objects[i].Name = strings.TrimPrefix(objects[i].Name, l.options.Prefix)
	}
	return objects, nil
}

func (l *Location) listCurrent(ctx context.Context, prefix string) ([]backup.Object, error) {
	var objects []backup.Object
	pages := s3.NewListObjectsV2Paginator(l.client, &s3.ListObjectsV2Input{Bucket: &l.options.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, o := range page.Contents {
			objects = append(objects, backup.Object{Name: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Created: aws.ToTime(o.LastModified)})
		}
	}
	return objects, nil
}

// listOriginals lists the first version of each object. Versions of one key come newest first.
func (l *Location) listOriginals(ctx context.Context, prefix string) ([]backup.Object, error) {
	var objects []backup.Object
	err := l.versions(ctx, prefix, func(v types.ObjectVersion) {
		o := backup.Object{Name: aws.ToString(v.Key), Size: aws.ToInt64(v.Size), Created: aws.ToTime(v.LastModified)}
		if n := len(objects); n > 0 && objects[n-1].Name == o.Name {
			objects[n-1] = o
			return
		}
		objects = append(objects, o)
	})
	return objects, err
}

func (l *Location) versions(ctx context.Context, prefix string, visit func(types.ObjectVersion)) error {
	pages := s3.NewListObjectVersionsPaginator(l.client, &s3.ListObjectVersionsInput{Bucket: &l.options.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		for _, v := range page.Versions {
			visit(v)
		}
	}
	return nil
}

// original returns the first version of the object under Object Lock, and nil for the current one without.
func (l *Location) original(ctx context.Context, key *string) (*string, error) {
	if l.options.Lock.For == 0 {
		return nil, nil
	}
	var version *string
	err := l.versions(ctx, *key, func(v types.ObjectVersion) {
		if aws.ToString(v.Key) == *key {
			version = v.VersionId
		}
	})
	if err == nil && version == nil {
		err = backup.ErrNotExist
	}
	return version, err
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
