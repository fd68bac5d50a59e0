package s3

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Remove deletes the object with all its versions and delete markers, the first version last: what fails in between leaves
// the object readable. A lock in force is an error that wraps ErrDenied and says until when.
func (l *Location) Remove(ctx context.Context, name string) error {
	key, err := l.key(name)
	if err != nil {
		return err
	}
	for range 2 { // a version without an id of its own may at first get no more than a delete marker
		found, err := l.layers(ctx, key)
		if isUnsupported(err) { // the store has no versions
			found, err = layers{versions: []types.ObjectVersion{{}}}, nil
		}
		if err != nil {
			return l.failed("remove", key, err)
		}
		for _, id := range found.ids() {
			if _, err := l.erase(ctx, key, id, l.options.BypassGovernance); err != nil {
				return l.failed("remove", key, l.explainDenial(ctx, key, id, err))
			}
		}
		if !found.alone() {
			break
		}
	}
	return nil
}

// erase deletes the version, or whatever a plain delete does if version is nil. It is done if there is none.
func (l *Location) erase(ctx context.Context, key, version *string, bypass bool) (*s3.DeleteObjectOutput, error) {
	input := &s3.DeleteObjectInput{Bucket: &l.options.Bucket, Key: key, VersionId: version}
	if bypass {
		input.BypassGovernanceRetention = aws.Bool(true)
	}
	deleted, err := l.client.DeleteObject(ctx, input)
	if isMissing(err) {
		return &s3.DeleteObjectOutput{}, nil
	}
	return deleted, err
}

// explainDenial adds which lock is in the way, if it is one.
func (l *Location) explainDenial(ctx context.Context, key, version *string, err error) error {
	if !isDenied(err) {
		return err
	}
	held, unseen := l.lockOf(ctx, key, version)
	if unseen != nil || held.RetainUntilDate == nil {
		return err
	}
	return fmt.Errorf("version %s has a lock, %s until %s: %w", aws.ToString(version), held.Mode,
		held.RetainUntilDate.UTC().Format(time.RFC3339), cause(err))
}
