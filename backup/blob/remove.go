package blob

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	gocloud "gocloud.dev/blob"

	"gwdr/backup"
)

// quarantine is what the names of damaged objects start with. List does not show them.
const quarantine = "gwdr-quarantine/"

// Remove deletes the object in all its versions. What the cloud itself keeps of it for a while, under its soft delete, no
// API deletes.
func (l *Location) Remove(ctx context.Context, name string) error {
	s, key, err := l.reach(ctx, name)
	if err == nil {
		err = s.purge(ctx, key)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// Quarantine copies the object through this machine, as the clouds have no common way to rename one, and deletes it if it
// is still the same. An attempt that was interrupted is taken up again. Older versions stay.
func (l *Location) Quarantine(ctx context.Context, name string) (string, error) {
	s, key, err := l.reach(ctx, name)
	if err != nil {
		return "", fmt.Errorf("quarantine %s: %w", name, err)
	}
	attrs, err := s.attributes(ctx, key)
	if err != nil {
		return "", fmt.Errorf("quarantine %s: %w", name, err)
	}
	// The name tells one damaged object from the next under the same name.
	to := fmt.Sprintf("%s%s-%.4x", quarantine, name, sha256.Sum256([]byte(attrs.ETag+attrs.ModTime.String())))
	if err := s.copy(ctx, key, l.options.Prefix+to, attrs); err != nil {
		return "", fmt.Errorf("quarantine %s: copy: %w", name, err)
	}
	if err := s.drop(ctx, key, attrs); err != nil {
		return "", fmt.Errorf("quarantine %s: delete: %w", name, err)
	}
	return to, nil
}

// copy copies the object with the attributes, unless an earlier attempt has.
func (s *store) copy(ctx context.Context, from, to string, attrs *gocloud.Attributes) error {
	if _, err := s.attributes(ctx, to); !errors.Is(err, backup.ErrNotExist) {
		return err
	}
	r, err := s.bucket.NewReader(ctx, from, nil)
	if err != nil {
		return explain(err)
	}
	defer r.Close()
	err = s.upload(ctx, to, r, content{size: attrs.Size}, true) // its hash is of no use: the object is damaged
	if taken(err) {
		return nil
	}
	return err
}
