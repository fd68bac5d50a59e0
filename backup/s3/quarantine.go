package s3

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// quarantineDir is where Quarantine puts what is damaged. List does not show it.
const quarantineDir = "gwdr-quarantine/"

// maxCopy is what one request can copy, in bytes.
const maxCopy = 5 << 30

// Quarantine copies the object to gwdr-quarantine/TIME/NAME and deletes it. In a bucket with versions, and under Object Lock, it
// fails with an error that wraps errors.ErrUnsupported: what is deleted there stays, and stays what its name stands for.
func (l *Location) Quarantine(ctx context.Context, name string) (to string, err error) {
	key, err := l.key(name)
	if err != nil {
		return "", err
	}
	to = quarantineDir + time.Now().UTC().Format("20060102T150405.000000000Z") + "/" + name
	if err := l.quarantine(ctx, key, aws.String(l.options.Prefix+to)); err != nil {
		return "", l.failed("quarantine", key, err)
	}
	return to, nil
}

func (l *Location) quarantine(ctx context.Context, key, to *string) error {
	if l.locked() {
		return fmt.Errorf("under Object Lock the first version is what counts, and it cannot be moved: %w", errors.ErrUnsupported)
	}
	head, err := l.head(ctx, key, nil)
	if err != nil {
		return err
	}
	if aws.ToString(head.VersionId) != "" || l.keepsVersions(ctx) {
		return fmt.Errorf("the bucket keeps versions, so that what is deleted stays under its name: %w", errors.ErrUnsupported)
	}
	if size := aws.ToInt64(head.ContentLength); size > maxCopy {
		return fmt.Errorf("object has %d bytes, more than one request can copy: %w", size, errors.ErrUnsupported)
	}
	source := (&url.URL{Path: l.options.Bucket + "/" + *key}).EscapedPath()
	_, err = l.client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: &l.options.Bucket, Key: to, CopySource: aws.String(strings.ReplaceAll(source, "+", "%2B")), CopySourceIfMatch: head.ETag,
	})
	if err != nil {
		return err
	}
	copied, err := l.head(ctx, to, nil)
	if err != nil || aws.ToInt64(copied.ContentLength) != aws.ToInt64(head.ContentLength) {
		return errors.Join(errors.New("the copy is not there as it should be"), err)
	}
	_, err = l.erase(ctx, key, nil, false)
	return err
}

// keepsVersions reports whether the bucket says so. One that does not tell shows it by the id of a version.
func (l *Location) keepsVersions(ctx context.Context) bool {
	versioning, err := l.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &l.options.Bucket})
	return err == nil && versioning.Status != ""
}
