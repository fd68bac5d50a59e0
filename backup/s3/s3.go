// Package s3 keeps snapshots in a bucket of S3, or of a server that speaks its protocol.
package s3

import (
	"context"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup"
)

// Location is a prefix in a bucket. Use Open.
type Location struct {
	options Options
	client  *s3.Client
	// createOnly is set once Probe saw that the store refuses a second put of a key. Until then Put asks first.
	createOnly atomic.Bool
	originals  bool // read first versions, though nothing is locked
}

var (
	_ backup.Location    = (*Location)(nil)
	_ backup.Prober      = (*Location)(nil)
	_ backup.Remover     = (*Location)(nil)
	_ backup.Renewer     = (*Location)(nil)
	_ backup.Quarantiner = (*Location)(nil)
	_ backup.Historian   = (*Location)(nil)
)

func (l *Location) key(name string) (*string, error) {
	if err := backup.CheckName(name); err != nil {
		return nil, err
	}
	return aws.String(l.options.Prefix + name), nil
}

// locked reports whether objects get a lock.
func (l *Location) locked() bool { return l.options.Lock.For > 0 }

// readsFirst reports whether the first version of an object is the one that counts, whatever was laid over it since: a delete
// marker does not hide it. Where objects are locked it is so.
func (l *Location) readsFirst() bool { return l.locked() || l.originals }

// Originals returns a view that reads first versions, in a bucket that keeps versions.
func (l *Location) Originals(ctx context.Context) (backup.Location, bool) {
	if l.readsFirst() || !l.keepsVersions(ctx) {
		return nil, false
	}
	return &Location{options: l.options, client: l.client, originals: true}, true
}

// Put uploads the object with If-None-Match: *, so that it never replaces one. A store that is not known to heed that is
// asked first. Whatever Put cannot know for sure, such as what became of a request without an answer, it looks up.
func (l *Location) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	key, err := l.key(name)
	if err != nil {
		return err
	}
	d, err := l.digest(ctx, body, size)
	if err == nil {
		err = l.create(ctx, key, body, d)
	}
	if err != nil {
		return l.failed("put", key, err)
	}
	return nil
}

// Get opens the object. Under Object Lock that is the first version. A transfer that breaks off is continued where it
// ended.
func (l *Location) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	key, err := l.key(name)
	if err != nil {
		return nil, err
	}
	version, err := l.original(ctx, key)
	if err != nil {
		return nil, l.failed("get", key, err)
	}
	return l.open(ctx, key, version)
}

// List returns the objects, by name.
func (l *Location) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	list := l.listCurrent
	if l.readsFirst() {
		list = l.listOriginals
	}
	full := l.options.Prefix + prefix
	objects, err := list(ctx, full)
	if err != nil {
		return nil, l.failed("list", &full, err)
	}
	for i := range objects {
		objects[i].Name = strings.TrimPrefix(objects[i].Name, l.options.Prefix)
	}
	return slices.DeleteFunc(objects, func(o backup.Object) bool { return strings.HasPrefix(o.Name, quarantineDir) }), nil
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
