package s3

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// multipart is the upload of a large object in parts. It is one object, or none, from the moment it is completed.
type multipart struct {
	*Location
	key    *string
	digest digest

	mu   sync.Mutex // of body and next
	body io.ReadSeeker
	next int // part to read

	id    *string // nil: not begun
	parts []types.CompletedPart
}

// send uploads what is not there yet and completes the object. It may be called again after an error.
func (m *multipart) send(ctx context.Context) (*string, error) {
	if m.id == nil {
		if err := m.begin(ctx); err != nil {
			return nil, fmt.Errorf("begin upload: %w", cause(err))
		}
	}
	err := m.sendParts(ctx)
	var version *string
	if err == nil {
		version, err = m.complete(ctx)
	}
	if isNoUpload(err) { // it is begun anew
		m.abort(ctx)
		m.id = nil
	}
	return version, err
}

func (m *multipart) begin(ctx context.Context) error {
	mode, until := m.retention()
	begun, err := m.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &m.options.Bucket, Key: m.key, ContentType: aws.String(contentType),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeComposite,
		ObjectLockMode: types.ObjectLockMode(mode), ObjectLockRetainUntilDate: until,
	})
	if err != nil {
		return err
	}
	m.id, m.parts, m.next = begun.UploadId, make([]types.CompletedPart, len(m.digest.parts)), 0
	return nil
}

// sendParts uploads the parts, some at a time. The first error ends it.
func (m *multipart) sendParts(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	m.next = 0
	var wg sync.WaitGroup
	for range min(m.options.Parallel, len(m.parts)) {
		wg.Go(func() {
			buffer := make([]byte, m.digest.part)
			for ctx.Err() == nil {
				i, content, err := m.read(buffer)
				if err == nil && i < len(m.parts) {
					err = m.sendPart(ctx, i, content)
				}
				if err != nil {
					stop(fmt.Errorf("part %d of %d: %w", i+1, len(m.parts), cause(err)))
				}
				if i == len(m.parts) {
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// read reads the next part that is not stored yet. Its index is the number of parts if there is none.
func (m *multipart) read(buffer []byte) (int, []byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.next < len(m.parts) && m.parts[m.next].ETag != nil {
		m.next++
	}
	i := m.next
	if i == len(m.parts) {
		return i, nil, nil
	}
	m.next++
	at := int64(i) * m.digest.part
	if _, err := m.body.Seek(at, io.SeekStart); err != nil {
		return i, nil, err
	}
	n, err := io.ReadFull(m.body, buffer[:min(m.digest.part, m.digest.size-at)])
	return i, buffer[:n], err
}

func (m *multipart) sendPart(ctx context.Context, i int, content []byte) error {
	sent, err := m.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &m.options.Bucket, Key: m.key, UploadId: m.id, PartNumber: aws.Int32(int32(i + 1)),
		Body: bytes.NewReader(content), ContentLength: aws.Int64(int64(len(content))), ChecksumSHA256: &m.digest.parts[i],
	}, signedAs(m.digest.parts[i]))
	if err != nil {
		return err
	}
	m.parts[i] = types.CompletedPart{ETag: sent.ETag, PartNumber: aws.Int32(int32(i + 1)), ChecksumSHA256: &m.digest.parts[i]}
	return nil
}

// complete makes the object of the parts, if there is none. Done is only what comes with the right checksum: a server may
// answer so to a request that it got twice while it still works on the first, and may refuse that one in the end.
func (m *multipart) complete(ctx context.Context) (*string, error) {
	done, err := m.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: &m.options.Bucket, Key: m.key, UploadId: m.id, IfNoneMatch: aws.String("*"), MpuObjectSize: &m.digest.size,
		ChecksumType: types.ChecksumTypeComposite, MultipartUpload: &types.CompletedMultipartUpload{Parts: m.parts},
	})
	if err != nil {
		return nil, fmt.Errorf("complete upload: %w", cause(err))
	}
	if aws.ToString(done.ChecksumSHA256) != m.digest.composite() {
		return nil, errUnconfirmed
	}
	m.id = nil
	return done.VersionId, nil
}

// abort drops the parts of an upload that came to nothing, as far as that takes no longer than a dead connection.
func (m *multipart) abort(ctx context.Context) error {
	if m.id == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.options.Idle)
	defer cancel()
	_, err := m.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &m.options.Bucket, Key: m.key, UploadId: m.id})
	if err == nil || isNoUpload(err) {
		return nil
	}
	return fmt.Errorf("drop the parts: %w", cause(err))
}
