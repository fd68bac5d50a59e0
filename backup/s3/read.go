package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup"
)

// open starts to read a version of the object, or the current one if version is nil.
func (l *Location) open(ctx context.Context, key, version *string) (io.ReadCloser, error) {
	object, err := l.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.options.Bucket, Key: key, VersionId: version})
	if isMissing(err) {
		err = backup.ErrNotExist
	}
	if err != nil {
		return nil, l.failed("get", key, err)
	}
	return &download{
		body: object.Body, size: aws.ToInt64(object.ContentLength), tries: l.options.Attempts - 1,
		fail: func(err error) error { return l.failed("read", key, err) },
		resume: func(at int64) (io.ReadCloser, error) {
			return l.resume(ctx, &s3.GetObjectInput{Bucket: &l.options.Bucket, Key: key, VersionId: version, IfMatch: object.ETag}, at)
		},
	}, nil
}

// resume opens the rest of an object.
func (l *Location) resume(ctx context.Context, input *s3.GetObjectInput, at int64) (io.ReadCloser, error) {
	input.Range = aws.String(fmt.Sprintf("bytes=%d-", at))
	rest, err := l.client.GetObject(ctx, input)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(aws.ToString(rest.ContentRange), fmt.Sprintf("bytes %d-", at)) {
		return nil, errors.Join(errors.New("the server cannot continue in the middle of an object"), rest.Body.Close())
	}
	return rest.Body, nil
}

// download reads an object to its last byte. A transfer that breaks off goes on where it ended, a few times.
type download struct {
	body   io.ReadCloser
	at     int64
	size   int64 // as announced; 0 if the object is empty or it was not
	tries  int
	resume func(at int64) (io.ReadCloser, error)
	fail   func(error) error
}

func (d *download) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.at += int64(n)
	switch {
	case err == nil, errors.Is(err, io.EOF) && d.at >= d.size:
		return n, err
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	if d.tries == 0 || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return n, d.fail(err)
	}
	d.tries--
	rest, again := d.resume(d.at)
	if again != nil {
		return n, d.fail(fmt.Errorf("%w; and then: %w", err, cause(again)))
	}
	d.body.Close()
	d.body = rest
	return n, nil
}

func (d *download) Close() error { return d.body.Close() }
