package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"gwdr/backup"
)

// listOriginals lists the first version of each object. Versions of one key come newest first.
func (l *Location) listOriginals(ctx context.Context, prefix string) ([]backup.Object, error) {
	var objects []backup.Object
	err := l.pages(ctx, prefix, func(page *s3.ListObjectVersionsOutput) bool {
		for _, v := range page.Versions {
			o := backup.Object{Name: aws.ToString(v.Key), Size: aws.ToInt64(v.Size), Created: aws.ToTime(v.LastModified)}
			if n := len(objects); n > 0 && objects[n-1].Name == o.Name {
				objects[n-1] = o
				continue
			}
			objects = append(objects, o)
		}
		return true
	})
	return objects, err
}

// pages visits the versions and delete markers below the prefix until visit returns false.
func (l *Location) pages(ctx context.Context, prefix string, visit func(*s3.ListObjectVersionsOutput) bool) error {
	pages := s3.NewListObjectVersionsPaginator(l.client, &s3.ListObjectVersionsInput{Bucket: &l.options.Bucket, Prefix: &prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return err
		}
		if !visit(page) {
			return nil
		}
	}
	return nil
}

// layers is what lies under one key, each newest first.
type layers struct {
	versions []types.ObjectVersion
	markers  []types.DeleteMarkerEntry
}

// layers returns all versions and delete markers of the key. Keys that begin with it follow it, and are not read.
func (l *Location) layers(ctx context.Context, key *string) (layers, error) {
	var found layers
	err := l.pages(ctx, *key, func(page *s3.ListObjectVersionsOutput) bool {
		others := false
		for _, v := range page.Versions {
			if aws.ToString(v.Key) == *key {
				found.versions = append(found.versions, v)
			} else {
				others = true
			}
		}
		for _, m := range page.DeleteMarkers {
			if aws.ToString(m.Key) == *key {
				found.markers = append(found.markers, m)
			} else {
				others = true
			}
		}
		return !others
	})
	return found, err
}

// first returns the id of the first version, or nil if there is none, or nothing but one that has no id of its own: then it
// is the current one, and not every store takes its id.
func (s layers) first() *string {
	if len(s.versions) == 0 || s.alone() {
		return nil
	}
	return s.versions[len(s.versions)-1].VersionId
}

// alone reports whether there is one version, without an id of its own, and nothing else.
func (s layers) alone() bool {
	return len(s.versions) == 1 && len(s.markers) == 0 && !isReal(s.versions[0].VersionId)
}

// ids returns the ids of all that lies there, the delete markers first and the first version last.
func (s layers) ids() []*string {
	if s.alone() {
		return []*string{nil}
	}
	var ids []*string
	for _, m := range s.markers {
		ids = append(ids, m.VersionId)
	}
	for _, v := range s.versions {
		ids = append(ids, v.VersionId)
	}
	return ids
}

// isReal reports whether a bucket with versions gave the id: such a version goes only when it is deleted by this id.
func isReal(version *string) bool { return aws.ToString(version) != "" && *version != "null" }

// original returns the first version of the object where that counts, and nil for the current one elsewhere.
func (l *Location) original(ctx context.Context, key *string) (*string, error) {
	if !l.readsFirst() {
		return nil, nil
	}
	found, err := l.layers(ctx, key)
	if err != nil {
		return nil, err
	}
	if len(found.versions) == 0 {
		return nil, backup.ErrNotExist
	}
	return found.first(), nil
}
