package blob

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gwdr/backup"
)

// canary is the object that Probe tries to overwrite and to delete.
const (
	canary        = "gwdr1/canary"
	canaryContent = "gwdr tries to overwrite and to delete this object, to learn whether it can\n"
)

// Probe tests the bucket with an object of its own: it tries to put other bytes under its name, to overwrite it and to
// delete it, with all the rights that the credentials have.
func (l *Location) Probe(ctx context.Context) (backup.Capabilities, error) {
	var c backup.Capabilities
	s, err := l.connect(ctx)
	if err == nil {
		err = l.probe(ctx, s, &c)
	}
	if err != nil {
		return c, fmt.Errorf("probe bucket %s: %w", l.options.Bucket, err)
	}
	return c, nil
}

func (l *Location) probe(ctx context.Context, s *store, c *backup.Capabilities) error {
	// The protection of an old canary may have run out: a new one tells.
	if _, err := l.canDelete(ctx, s); err != nil {
		return err
	}
	if err := l.putCanary(ctx, canaryContent); err != nil && !errors.Is(err, backup.ErrExists) {
		return err
	}
	err := l.putCanary(ctx, "other bytes\n")
	if err != nil && !errors.Is(err, backup.ErrExists) {
		return err
	}
	c.CreateOnly = err != nil
	overwritten, err := l.canOverwrite(ctx, s)
	if err != nil {
		return err
	}
	deleted, err := l.canDelete(ctx, s)
	if err != nil {
		return err
	}
	c.Immutable = !overwritten && !deleted
	lock, err := s.lock(ctx)
	if statusOf(err) == 403 {
		lock, err = backup.Test{Detail: "these credentials may not ask"}, nil
	}
	lock.What = "lock"
	c.Tests = []backup.Test{{What: "overwrite", Denied: !overwritten}, {What: "delete", Denied: !deleted}, lock}
	return err
}

func (l *Location) putCanary(ctx context.Context, content string) error {
	return l.Put(ctx, canary, strings.NewReader(content), int64(len(content)))
}

// canOverwrite tries to put the canary once more, without any condition.
func (l *Location) canOverwrite(ctx context.Context, s *store) (bool, error) {
	c, err := measure(ctx, strings.NewReader(canaryContent), int64(len(canaryContent)))
	if err != nil {
		return false, err
	}
	err = s.upload(ctx, l.options.Prefix+canary, strings.NewReader(canaryContent), c, false)
	if refused(err) {
		return false, nil
	}
	return err == nil, err
}

// canDelete tries to delete the canary. If it is gone already, somebody could.
func (l *Location) canDelete(ctx context.Context, s *store) (bool, error) {
	err := explain(s.bucket.Delete(ctx, l.options.Prefix+canary))
	switch {
	case refused(err):
		return false, nil
	case errors.Is(err, backup.ErrNotExist):
		return true, nil
	}
	return err == nil, err
}

// Domain names the cloud and who owns what is there: whoever controls that can destroy it all.
func (l *Location) Domain(ctx context.Context) (string, error) {
	s, err := l.connect(ctx)
	if err != nil {
		return "", err
	}
	domain, err := s.owner(ctx)
	if err != nil {
		return "", fmt.Errorf("find owner of bucket %s: %w", l.options.Bucket, err)
	}
	return domain, nil
}
