package s3

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
)

// retention is the lock of an object that is put now.
func (l *Location) retention() (mode string, until *time.Time) {
	if !l.locked() {
		return "", nil
	}
	return l.options.Lock.Mode, aws.Time(time.Now().Add(l.options.Lock.For).UTC().Truncate(time.Second))
}

// Renew extends the lock of the object to what one put now gets, once less than three quarters of that are left: so much at
// least is what every object of a new point has, and most points change nothing. An object keeps the mode of its lock, for
// who may change that may also take it away. Without a lock there is nothing to do.
func (l *Location) Renew(ctx context.Context, name string) error {
	key, err := l.key(name)
	if err != nil {
		return err
	}
	if !l.locked() {
		return nil
	}
	version, err := l.original(ctx, key)
	if err == nil {
		err = l.renew(ctx, key, version)
	}
	if err != nil {
		return l.failed("renew lock of", key, err)
	}
	return nil
}

func (l *Location) renew(ctx context.Context, key, version *string) error {
	held, err := l.lockOf(ctx, key, version)
	if err != nil {
		return err
	}
	if time.Until(aws.ToTime(held.RetainUntilDate)) >= l.options.Lock.For/4*3 {
		return nil
	}
	mode, until := l.retention()
	if held.Mode != "" {
		mode = string(held.Mode)
	}
	_, err = l.client.PutObjectRetention(ctx, &s3.PutObjectRetentionInput{
		Bucket: &l.options.Bucket, Key: key, VersionId: version,
		Retention: &types.ObjectLockRetention{Mode: types.ObjectLockRetentionMode(mode), RetainUntilDate: until},
	})
	return err
}

// lockOf returns the lock of the version, whose zero value is none. HEAD would not do: who may not see a lock sees none there,
// and some servers show only the newest version's.
func (l *Location) lockOf(ctx context.Context, key, version *string) (types.ObjectLockRetention, error) {
	found, err := l.client.GetObjectRetention(ctx, &s3.GetObjectRetentionInput{Bucket: &l.options.Bucket, Key: key, VersionId: version})
	switch code := codeOf(err); {
	case err == nil && found.Retention != nil:
		return *found.Retention, nil
	case err == nil, isUnsupported(err), code == "NoSuchObjectLockConfiguration", code == "InvalidRequest", code == "ObjectLockConfigurationNotFoundError":
		return types.ObjectLockRetention{}, nil // the object has none, the bucket can have none, or the store
	case isMissing(err):
		err = backup.ErrNotExist
	}
	return types.ObjectLockRetention{}, err
}
