package blob

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	gocloud "gocloud.dev/blob"
)

// partSize is what one request carries at most, in bytes. A larger object goes in several, and is there when the last
// one is done.
const partSize = 8 << 20

// content is what an object has to hold.
type content struct {
	size   int64
	md5    []byte // the hash that both clouds know
	sha256 []byte // the one to trust
}

// measure reads the body once and makes sure of its size.
func measure(ctx context.Context, body io.ReadSeeker, size int64) (content, error) {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return content{}, err
	}
	weak, strong := md5.New(), sha256.New()
	n, err := io.Copy(io.MultiWriter(weak, strong), struct{ io.Reader }{body})
	if err == nil && n != size {
		err = fmt.Errorf("body has %d bytes, not %d", n, size)
	}
	if err := errors.Join(err, ctx.Err()); err != nil {
		return content{}, err
	}
	return content{size: n, md5: weak.Sum(nil), sha256: strong.Sum(nil)}, nil
}

// upload stores the body, and fails if it is not the content that was measured.
func (s *store) upload(ctx context.Context, key string, body io.Reader, c content, create bool) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	guarded := &guard{body: body, left: c.size, want: c.sha256, sum: sha256.New(), stop: stop}
	err := s.bucket.Upload(ctx, key, guarded, &gocloud.WriterOptions{
		IfNotExist: create, ContentType: "application/octet-stream", BufferSize: partSize, MaxConcurrency: 2,
		BeforeWrite: func(as func(any) bool) error { return tune(as, c) },
	})
	if err != nil && guarded.err != nil {
		return guarded.err
	}
	return explain(err)
}

// tune sets what WriterOptions has no word for. The server checks the MD5 where it can, and stores it where it cannot:
// WriterOptions.ContentMD5 would do the same, but takes the body through a pipe, which panics in gocloud.dev v0.47.0 when
// Azure refuses the object. And Google's SDK, which would try again as long as the context lets it, gets an end.
func tune(as func(any) bool, c content) error {
	var object **storage.ObjectHandle
	if as(&object) {
		left := 2 + c.size/partSize
		*object = (*object).Retryer(storage.WithErrorFunc(func(err error) bool {
			again := left > 0 && storage.ShouldRetry(err)
			if again {
				left--
			}
			return again
		}))
	}
	var google *storage.Writer
	var azure *azblob.UploadStreamOptions
	switch {
	case as(&google):
		google.MD5 = c.md5
	case as(&azure):
		azure.HTTPHeaders.BlobContentMD5 = c.md5
	}
	return nil
}

// guard gives a body to an upload and cancels it unless the body is what was measured: closing a writer makes an object
// of what it got so far.
type guard struct {
	body io.Reader
	left int64
	sum  hash.Hash
	want []byte // nil if not known
	stop context.CancelCauseFunc
	err  error
}

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.body.Read(p)
	g.left -= int64(n)
	g.sum.Write(p[:n])
	changed := g.left < 0 || err == io.EOF && (g.left > 0 || g.want != nil && !bytes.Equal(g.sum.Sum(nil), g.want))
	if changed {
		err = errors.New("body changed while it was sent")
	}
	if err != nil && err != io.EOF {
		g.err = err
		g.stop(err)
	}
	return n, err
}

// hash reads the object back and returns its SHA-256.
func (s *store) hash(ctx context.Context, key string) ([]byte, error) {
	r, err := s.bucket.NewReader(ctx, key, nil)
	if err != nil {
		return nil, explain(err)
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, explain(err)
	}
	return sum.Sum(nil), nil
}
