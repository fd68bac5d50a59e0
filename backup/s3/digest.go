package s3

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"gwdr/backup"
)

const (
	maxObject = 5 << 40 // bytes that S3 takes in parts
	maxParts  = 10_000
)

// digest is what is known of a body before it is sent. Sums are SHA-256 in base64.
type digest struct {
	size  int64
	sum   string
	part  int64    // size of each part but the last, in bytes
	parts []string // sums of the parts; nil if one request carries it all
}

// digest reads the body, hashes it and makes sure of its size.
func (l *Location) digest(ctx context.Context, body io.ReadSeeker, size int64) (digest, error) {
	d := digest{size: size, part: max(l.options.PartSize, (size+maxParts-1)/maxParts)}
	if size > maxObject {
		return d, fmt.Errorf("object has %d bytes, more than S3 takes", size)
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return d, err
	}
	whole, read := sha256.New(), int64(0)
	for {
		part := sha256.New()
		n, err := io.CopyN(io.MultiWriter(whole, part), body, d.part)
		read += n
		if n > 0 && size > d.part {
			d.parts = append(d.parts, encode(part))
		}
		if errors.Is(err, io.EOF) || err == nil && read > size {
			break
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return d, err
		}
	}
	if read != size {
		return d, fmt.Errorf("body does not have the %d bytes that it should have", size)
	}
	d.sum = encode(whole)
	return d, ctx.Err()
}

func encode(h hash.Hash) string { return base64.StdEncoding.EncodeToString(h.Sum(nil)) }

// signedAs signs a request with the sum of its body, which is known already: the SDK would read the body once more for it.
func signedAs(sum string) func(*s3.Options) {
	raw, _ := base64.StdEncoding.DecodeString(sum)
	set := middleware.FinalizeMiddlewareFunc("gwdrPayloadHash", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		return next.HandleFinalize(v4.SetPayloadHash(ctx, hex.EncodeToString(raw)), in)
	})
	return s3.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Finalize.Insert(set, "ComputePayloadHash", middleware.Before)
	})
}

// composite is the sum that S3 gives an object that came in these parts: of the parts' sums, then their number.
func (d digest) composite() string {
	h := sha256.New()
	for _, part := range d.parts {
		raw, _ := base64.StdEncoding.DecodeString(part)
		h.Write(raw)
	}
	return fmt.Sprintf("%s-%d", encode(h), len(d.parts))
}

// compare is nil if the object that is there has the size and the hash. It fails with ErrExists if it has others, and with
// ErrNotExist if there is none.
func (l *Location) compare(ctx context.Context, key *string, d digest) error {
	version, err := l.original(ctx, key)
	if err != nil {
		return err
	}
	head, err := l.head(ctx, key, version)
	if err != nil {
		return err
	}
	if aws.ToInt64(head.ContentLength) != d.size {
		return backup.ErrExists
	}
	stored := aws.ToString(head.ChecksumSHA256)
	if len(d.parts) > 0 && stored == d.composite() {
		return nil
	}
	// A composite sum of parts of another size, or none: stored by somebody else, in another way.
	if stored == "" || head.ChecksumType == types.ChecksumTypeComposite || len(stored) != len(d.sum) {
		if stored, err = l.hashStored(ctx, key, version); err != nil {
			return err
		}
	}
	if stored != d.sum {
		return backup.ErrExists
	}
	return nil
}

func (l *Location) head(ctx context.Context, key, version *string) (*s3.HeadObjectOutput, error) {
	head, err := l.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket: &l.options.Bucket, Key: key, VersionId: version, ChecksumMode: types.ChecksumModeEnabled,
	})
	if err == nil {
		return head, nil
	}
	if isMissing(err) {
		return nil, backup.ErrNotExist
	}
	if statusOf(err) == 0 {
		return nil, err
	}
	return nil, l.explain(ctx, key, err)
}

// explain asks again for the reason of an error that has none: the answer to a HEAD request has no room for it, and a server
// that refuses an upload early closes the connection instead.
func (l *Location) explain(ctx context.Context, key *string, err error) error {
	if status := statusOf(err); status != 0 && (status < 300 || status >= 500) {
		return err
	}
	_, reason := l.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &l.options.Bucket, Prefix: key, MaxKeys: aws.Int32(1)})
	switch {
	case reason == nil || statusOf(reason) == 0:
		return err
	case statusOf(err) == 0:
		return fmt.Errorf("%w; asked about the bucket, %w", cause(err), cause(reason))
	}
	return reason
}

func (l *Location) hashStored(ctx context.Context, key, version *string) (string, error) {
	object, err := l.open(ctx, key, version)
	if err != nil {
		return "", err
	}
	defer object.Close()
	h := sha256.New()
	if _, err := io.Copy(h, object); err != nil {
		return "", err
	}
	return encode(h), nil
}
