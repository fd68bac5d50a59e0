package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
)

const (
	// worthAsking is the size, in bytes, above which Put asks first whether the object is there: a server that refuses an
	// upload early closes the connection, and its answer is lost.
	worthAsking = 1 << 20
	// conflicts is how often an upload that another one is in the way of is tried.
	conflicts = 8
)

const contentType = "application/octet-stream"

// errUnconfirmed is an answer that says done, and does not prove it.
var errUnconfirmed = errors.New("the server confirmed an upload without its checksum")

// upload sends an object once, under the condition that there is none. It returns the version that it made, if the bucket
// has versions.
type upload func(ctx context.Context) (version *string, err error)

// create uploads the body unless the key is taken.
func (l *Location) create(ctx context.Context, key *string, body io.ReadSeeker, d digest) error {
	if !l.createOnly.Load() || d.size > worthAsking {
		if err := l.compare(ctx, key, d); !errors.Is(err, backup.ErrNotExist) {
			return err
		}
	}
	if d.parts == nil {
		return l.insist(ctx, key, d, func(ctx context.Context) (*string, error) { return l.putOnce(ctx, key, body, d) })
	}
	m := &multipart{Location: l, key: key, body: body, digest: d}
	if err := l.insist(ctx, key, d, m.send); err != nil {
		return errors.Join(cause(err), m.abort(ctx))
	}
	m.abort(ctx) // nothing is left, or another writer was faster
	return nil
}

// insist uploads until it is certain that the object is there, or that this upload did not make it. Whatever answer leaves
// that open is checked: an answer may have been lost, and a second attempt then meets the first.
func (l *Location) insist(ctx context.Context, key *string, d digest, send upload) error {
	for attempt := 1; ; attempt++ {
		version, err := send(ctx)
		if err == nil {
			return l.confirm(ctx, key, version, d)
		}
		if isFinal(err) || ctx.Err() != nil {
			return err
		}
		found := l.compare(ctx, key, d)
		switch {
		case found == nil, errors.Is(found, backup.ErrExists):
			return found
		case !errors.Is(found, backup.ErrNotExist):
			return fmt.Errorf("%w; whether it was stored cannot be seen: %w", cause(err), cause(found))
		case statusOf(err) == 0 && !errors.Is(err, errUnconfirmed):
			return l.explain(ctx, key, err)
		case !isConflict(err) || attempt >= tries(err, d):
			return err
		}
		if err := sleep(ctx, l.options.pause(attempt)); err != nil {
			return err
		}
	}
}

// confirm makes sure, where the first version counts, that it is the one that this upload made. Over a delete marker, and by
// a store that ignores conditions, a second one is made without an error.
func (l *Location) confirm(ctx context.Context, key, version *string, d digest) error {
	if !l.locked() {
		return nil
	}
	first, err := l.original(ctx, key)
	if err == nil && version != nil && first != nil && *first == *version {
		return nil
	}
	return l.compare(ctx, key, d)
}

// isFinal reports whether the server refused for a reason that holds for the next question as well.
func isFinal(err error) bool {
	switch status := statusOf(err); status {
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusPreconditionFailed, http.StatusTooManyRequests:
		return false
	default:
		return status >= 400 && status < 500 && !isNoUpload(err)
	}
}

// isConflict reports whether it is worth another try: another upload of this key is on its way (409), its object cannot be
// seen yet (412), this one may still be worked on, or it was ended by somebody.
func isConflict(err error) bool {
	status := statusOf(err)
	return status == http.StatusConflict || status == http.StatusPreconditionFailed || status == http.StatusTooManyRequests ||
		errors.Is(err, errUnconfirmed) || isNoUpload(err)
}

// tries is how often an upload is tried that another one is in the way of. One that a server still puts together may take
// it a while, by the size.
func tries(err error, d digest) int {
	if errors.Is(err, errUnconfirmed) {
		return conflicts + int(d.size>>26)
	}
	return conflicts
}

func isNoUpload(err error) bool { return codeOf(err) == "NoSuchUpload" }

func (l *Location) putOnce(ctx context.Context, key *string, body io.ReadSeeker, d digest) (*string, error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	mode, until := l.retention()
	put, err := l.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &l.options.Bucket, Key: key, Body: body, ContentLength: &d.size, ChecksumSHA256: &d.sum,
		IfNoneMatch: aws.String("*"), ContentType: aws.String(contentType),
		ObjectLockMode: types.ObjectLockMode(mode), ObjectLockRetainUntilDate: until,
	}, signedAs(d.sum))
	if err != nil {
		return nil, err
	}
	return put.VersionId, nil
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
