// Package blob keeps snapshots in a bucket of Google Cloud Storage or in a container of Azure Blob Storage.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	gocloud "gocloud.dev/blob"

	"gwdr/backup"
)

// Location is a prefix in a bucket. Use Open.
type Location struct {
	options Options
	opening chan struct{} // taken by who looks at store
	store   *store        // nil until it was needed
}

var (
	_ backup.Location    = (*Location)(nil)
	_ backup.Prober      = (*Location)(nil)
	_ backup.Remover     = (*Location)(nil)
	_ backup.Quarantiner = (*Location)(nil)
)

// store is a bucket, with what gocloud.dev does not tell of it.
type store struct {
	bucket *gocloud.Bucket
	service
	hashes bool // the server itself computes the MD5 that it gives for an object
}

// service is the cloud behind a bucket.
type service interface {
	// lock tells what protects the objects of the bucket, as far as it may be asked.
	lock(ctx context.Context) (backup.Test, error)
	// owner names who can destroy all that is there.
	owner(ctx context.Context) (string, error)
	// drop deletes the object if it is still the one with the attributes.
	drop(ctx context.Context, key string, attrs *gocloud.Attributes) error
	// purge deletes all versions of the object.
	purge(ctx context.Context, key string) error
}

// connect returns the bucket, which it opens at the first success.
func (l *Location) connect(ctx context.Context) (*store, error) {
	select {
	case l.opening <- struct{}{}:
		defer func() { <-l.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if l.store != nil {
		return l.store, nil
	}
	open := openGoogle
	if l.options.Scheme == Azure {
		open = openAzure
	}
	s, err := open(ctx, l.options)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", l.options.Bucket, explain(err))
	}
	l.store = s
	return s, nil
}

// reach returns the bucket, and the key of the object in it.
func (l *Location) reach(ctx context.Context, name string) (*store, string, error) {
	if err := checkKey(name); err != nil {
		return nil, "", err
	}
	s, err := l.connect(ctx)
	return s, l.options.Prefix + name, err
}

// Put uploads the object on the condition that there is none, so that it never replaces one.
func (l *Location) Put(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	s, key, err := l.reach(ctx, name)
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	c, err := measure(ctx, body, size)
	if err == nil {
		err = s.create(ctx, key, body, c)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// create uploads the body unless the key is taken. Whatever error may hide that the object is there is checked: an
// answer may have been lost, so that the SDK's own second attempt met its first; and who may create but not overwrite is
// told that it may not.
func (s *store) create(ctx context.Context, key string, body io.ReadSeeker, c content) error {
	if c.size > partSize { // the condition is only looked at once all parts are there
		if err := s.compare(ctx, key, c); err == nil || errors.Is(err, backup.ErrExists) {
			return err
		}
	}
	const attempts = 8
	wait := 20 * time.Millisecond
	for attempt := 1; ; attempt++ {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return err
		}
		err := s.upload(ctx, key, body, c, true)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if status := statusOf(err); status == 401 || status == 404 {
			return err
		}
		found := s.compare(ctx, key, c)
		switch {
		case found == nil:
			return nil
		case errors.Is(found, backup.ErrExists), taken(err) && !errors.Is(found, backup.ErrNotExist):
			return found
		case !taken(err) || attempt == attempts:
			return err
		}
		// Another upload of this key is on its way, or was removed again.
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		wait *= 2
	}
}

// compare is nil if the object that is there has the content.
func (s *store) compare(ctx context.Context, key string, c content) error {
	attrs, err := s.attributes(ctx, key)
	if errors.Is(err, backup.ErrNotExist) {
		return err
	}
	if err != nil {
		return fmt.Errorf("compare with what is stored: %w", err)
	}
	same := attrs.Size == c.size
	if same && s.hashes && len(attrs.MD5) > 0 {
		same = slices.Equal(attrs.MD5, c.md5)
	} else if same { // what no server computed is somebody's word
		stored, err := s.hash(ctx, key)
		if err != nil {
			return fmt.Errorf("compare with what is stored: %w", err)
		}
		same = slices.Equal(stored, c.sha256)
	}
	if !same {
		return backup.ErrExists
	}
	return nil
}

func (s *store) attributes(ctx context.Context, key string) (*gocloud.Attributes, error) {
	attrs, err := s.bucket.Attributes(ctx, key)
	return attrs, explain(err)
}

// Get opens the object.
func (l *Location) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	s, key, err := l.reach(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, err)
	}
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", name, explain(err))
	}
	return r, nil
}

// List returns the objects, by name, without those in quarantine.
func (l *Location) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	s, err := l.connect(ctx)
	if err != nil {
		return nil, err
	}
	var objects []backup.Object
	for items := s.bucket.List(&gocloud.ListOptions{Prefix: l.options.Prefix + prefix}); ; {
		item, err := items.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list bucket %s: %w", l.options.Bucket, explain(err))
		}
		name := strings.TrimPrefix(item.Key, l.options.Prefix)
		if !strings.HasPrefix(name, quarantine) {
			objects = append(objects, backup.Object{Name: name, Size: item.Size, Created: created(item)})
		}
	}
	slices.SortFunc(objects, func(a, b backup.Object) int { return strings.Compare(a.Name, b.Name) })
	return objects, nil
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
