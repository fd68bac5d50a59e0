package s3

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"

	"gwdr/backup"
)

// Probe tests the bucket with an object of its own, with all the rights that the credentials have. A test counts as denied
// if the object's bytes are still there: in a bucket with versions, a new version or a delete marker that is laid over them
// takes nothing away. Immutable means that no test got rid of them. What one probe laid over the object, and may not take
// away again, the next ones do not lay once more.
//
// CreateOnly is tested with an object that goes up in one request. Put looks after a large one itself: it asks first, and
// in the end makes sure of the checksum.
func (l *Location) Probe(ctx context.Context) (backup.Capabilities, error) {
	for attempt := 1; ; attempt++ {
		p := &canary{Location: l, key: aws.String(l.options.Prefix + canaryName)}
		if err := p.test(ctx); err != nil {
			return backup.Capabilities{}, l.failed("probe", p.key, err)
		}
		l.createOnly.Store(p.result.CreateOnly)
		if expired := p.lost && p.promised && !p.held; !expired || attempt == 2 { // a new canary tells
			return p.result, nil
		}
	}
}

func (c *canary) test(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		c.prepare, c.seeLock, c.overwriteIfNone, c.overwrite, c.remove, c.removeVersion, c.tidy,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	c.result.Immutable = !c.lost
	return nil
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
