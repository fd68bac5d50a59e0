package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"cloud.google.com/go/storage"
	"github.com/googleapis/gax-go/v2"
	gocloud "gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"

	"gwdr/backup"
)

const googleEndpoint = "https://storage.googleapis.com"

// google is a bucket of Google Cloud Storage.
type google struct {
	bucket *storage.BucketHandle
	host   string
}

// openGoogle opens a bucket with the default credentials. An endpoint without TLS gets none: a token is not sent in clear.
func openGoogle(ctx context.Context, o Options) (*store, error) {
	endpoint := o.Endpoint
	if endpoint == "" {
		endpoint = googleEndpoint
	}
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	web := &http.Client{Transport: transport(o.DialContext)}
	opts := []option.ClientOption{storage.WithJSONReads(), option.WithEndpoint(endpoint + "/storage/v1/"), option.WithHTTPClient(web)}
	if u.Scheme == "http" {
		opts = append(opts, option.WithoutAuthentication())
	} else {
		creds, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{storage.ScopeReadWrite}, Client: tokenClient()})
		if err == nil {
			err = httptransport.AddAuthorizationMiddleware(web, creds)
		}
		if err != nil {
			return nil, err
		}
		opts = append(opts, option.WithAuthCredentials(creds))
	}
	client, err := storage.NewClient(ctx, opts...)
	if err != nil {
		return nil, err
	}
	client.SetRetry(storage.WithMaxAttempts(3), storage.WithBackoff(gax.Backoff{Initial: 100 * time.Millisecond, Max: time.Second, Multiplier: 2}))
	bucket, err := gcsblob.OpenBucket(ctx, nil, o.Bucket, &gcsblob.Options{Client: client})
	if err != nil {
		return nil, err
	}
	return &store{bucket: bucket, service: &google{bucket: client.Bucket(o.Bucket), host: u.Host}, hashes: true}, nil
}

func (g *google) lock(ctx context.Context) (backup.Test, error) {
	attrs, err := g.bucket.Attrs(ctx)
	if err != nil {
		return backup.Test{}, explain(err)
	}
	policy := attrs.RetentionPolicy
	if policy == nil || policy.RetentionPeriod == 0 {
		return backup.Test{Detail: "no retention policy"}, nil
	}
	state := "not locked" // who may change the bucket can take it away
	if policy.IsLocked {
		state = "locked"
	}
	return backup.Test{Denied: true, Detail: fmt.Sprintf("retention policy of %s, %s", policy.RetentionPeriod, state)}, nil
}

// owner names the project, which pays and decides, and the place. Not everybody may ask; all buckets of which that is
// not known count as one.
func (g *google) owner(ctx context.Context) (string, error) {
	attrs, err := g.bucket.Attrs(ctx)
	switch err = explain(err); {
	case statusOf(err) == 403:
		return fmt.Sprintf("google %s project unknown", g.host), nil
	case err != nil:
		return "", err
	}
	return fmt.Sprintf("google %s %s project %d", g.host, strings.ToLower(attrs.Location), attrs.ProjectNumber), nil
}

func (g *google) drop(ctx context.Context, key string, attrs *gocloud.Attributes) error {
	object := g.bucket.Object(key)
	var known storage.ObjectAttrs
	if attrs.As(&known) {
		object = object.If(storage.Conditions{GenerationMatch: known.Generation})
	}
	return explain(object.Delete(ctx))
}

func (g *google) purge(ctx context.Context, key string) error {
	for versions := g.bucket.Objects(ctx, &storage.Query{Prefix: key, Versions: true}); ; {
		v, err := versions.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		if err != nil {
			return explain(err)
		}
		if v.Name != key {
			continue
		}
		err = explain(g.bucket.Object(key).Generation(v.Generation).Delete(ctx))
		if err != nil && !errors.Is(err, backup.ErrNotExist) {
			return err
		}
	}
}
