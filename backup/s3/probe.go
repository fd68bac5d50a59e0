package s3

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"gwdr/backup"
)

// canary is the object that Probe tries to overwrite and to delete.
const (
	canary        = "gwdr1/canary"
	canaryContent = "gwdr tries to overwrite and to delete this object, to learn whether it can\n"
)

// Probe tests the bucket with an object of its own: it tries to put other bytes under its name, and to delete it for
// good, with all the rights that the credentials have.
func (l *Location) Probe(ctx context.Context) (backup.Capabilities, error) {
	var c backup.Capabilities
	err := l.putCanary(ctx, canaryContent)
	if err != nil && !errors.Is(err, backup.ErrExists) {
		return c, fmt.Errorf("probe bucket %s: %w", l.options.Bucket, err)
	}
	err = l.putCanary(ctx, "other bytes\n")
	if err != nil && !errors.Is(err, backup.ErrExists) {
		return c, fmt.Errorf("probe bucket %s: %w", l.options.Bucket, err)
	}
	c.CreateOnly = err != nil
	if c.Immutable, err = l.immutable(ctx); err != nil {
		return c, fmt.Errorf("probe bucket %s: %w", l.options.Bucket, err)
	}
	return c, nil
}

func (l *Location) putCanary(ctx context.Context, content string) error {
	return l.Put(ctx, canary, strings.NewReader(content), int64(len(content)))
}

// immutable reports whether the canary withstands deletion and overwriting. The lock of an old canary may have run out:
// then a new one tells.
func (l *Location) immutable(ctx context.Context) (bool, error) {
	for range 2 {
		head, err := l.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &l.options.Bucket, Key: aws.String(l.options.Prefix + canary)})
		if err != nil {
			return false, err
		}
		denied, err := l.deleteCanary(ctx, head.VersionId)
		switch {
		case err != nil:
			return false, err
		case denied && aws.ToString(head.VersionId) != "" && *head.VersionId != "null":
			return true, nil // what is laid over a version leaves the version
		case denied:
			return l.overwriteDenied(ctx)
		}
		if err := l.putCanary(ctx, canaryContent); err != nil {
			return false, err
		}
	}
	return false, nil
}

// deleteCanary tries to delete the version, or the object itself if version is nil.
func (l *Location) deleteCanary(ctx context.Context, version *string) (denied bool, err error) {
	input := &s3.DeleteObjectInput{Bucket: &l.options.Bucket, Key: aws.String(l.options.Prefix + canary), VersionId: version}
	if l.options.Lock.Mode == "GOVERNANCE" {
		input.BypassGovernanceRetention = aws.Bool(true)
	}
	_, err = l.client.DeleteObject(ctx, input)
	if statusOf(err) == 403 {
		return true, nil
	}
	return false, err
}

// overwriteDenied tries to put the same bytes once more, without any condition.
func (l *Location) overwriteDenied(ctx context.Context) (bool, error) {
	_, err := l.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &l.options.Bucket, Key: aws.String(l.options.Prefix + canary), Body: strings.NewReader(canaryContent),
	})
	if statusOf(err) == 403 {
		return true, nil
	}
	return false, err
}

// Domain names the endpoint and, by a fingerprint, the account: whoever controls it can destroy all that is there.
func (l *Location) Domain(ctx context.Context) (string, error) {
	credentials, err := l.client.Options().Credentials.Retrieve(ctx)
	if err != nil {
		return "", fmt.Errorf("find account: %w", err)
	}
	account := credentials.AccountID
	if account == "" {
		account = credentials.AccessKeyID
	}
	host := "s3." + l.options.Region + ".amazonaws.com"
	if u, err := url.Parse(l.options.Endpoint); err == nil && u.Host != "" {
		host = u.Host
	}
	return fmt.Sprintf("s3 %s account %.4x", host, sha256.Sum256([]byte(account))), nil
}
