package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"gwdr/internal/sshsig"
)

// Bounds of what is read of a segment before it is known to be one: whoever can write to a location can put anything there.
const (
	maxSegmentJSON = 128 << 10
	maxSegmentSig  = 8 << 10
)

// segmentCheck says whether a segment is the one that is wanted, by its beginning: seg.json and the signature.
type segmentCheck func(s sealedSegment, signed signedContent) error

// errEnough is what a segmentCheck returns of a segment of which the beginning will do.
var errEnough = errors.New("the beginning is enough")

// signedBy wants a segment of a trusted signer.
func signedBy(trusted sshsig.Trusted) segmentCheck {
	return func(s sealedSegment, signed signedContent) error {
		_, err := trusted.At(s.Time).Verify(SegmentNamespace, signed.content, signed.signature)
		return err
	}
}

// pinnedBy wants the segment whose seg.json has the SHA-256, which the one after it, or a point, pins.
func pinnedBy(sum string) segmentCheck {
	return func(s sealedSegment, _ signedContent) error {
		if s.SHA256 != sum {
			return errors.New("it is not the one that was signed")
		}
		return nil
	}
}

// getSegment reads a segment: first seg.json and its signature, and then, if check takes them, no more than seg.json
// promises. Of one whose beginning is enough the object is left out. The error wraps ErrIntegrity if what lies there is not
// such a segment.
func getSegment(ctx context.Context, l Location, lineage string, seq int64, check segmentCheck) (sealedSegment, error) {
	name := lineageRoot(lineage) + segmentName(seq)
	body, err := l.Get(ctx, name)
	if err != nil {
		return sealedSegment{}, err
	}
	defer body.Close()
	from := &tellingReader{r: body}
	s, err := readSegmentFrom(from, lineage, seq, check)
	if from.err != nil {
		return sealedSegment{}, fmt.Errorf("read %s: %w", name, from.err)
	}
	if err != nil {
		return sealedSegment{}, fmt.Errorf("%w: %w", ErrIntegrity, err)
	}
	return s, nil
}

// tellingReader keeps why r could not be read, so that it is not taken for what was read.
type tellingReader struct {
	r   io.Reader
	err error
}

func (t *tellingReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil && err != io.EOF {
		t.err = err
	}
	return n, err
}

func readSegmentFrom(r io.Reader, lineage string, seq int64, check segmentCheck) (sealedSegment, error) {
	var object bytes.Buffer
	head, signed, err := readSegmentHead(io.TeeReader(r, &object), lineage, seq)
	if err != nil {
		return sealedSegment{}, err
	}
	switch err := check(head, signed); {
	case errors.Is(err, errEnough):
		return head, nil
	case err != nil:
		return sealedSegment{}, err
	}
	size := head.objectSize(signed)
	switch _, err := io.CopyN(&object, r, size-int64(object.Len())+1); {
	case err == nil:
		return sealedSegment{}, fmt.Errorf("it has more than the %d bytes that seg.json promises", size)
	case err != io.EOF:
		return sealedSegment{}, err
	}
	s, _, err := parseSegment(object.Bytes(), lineage, seq)
	return s, err
}

// readSegmentHead reads seg.json and the signature, and checks what needs no more.
func readSegmentHead(r io.Reader, lineage string, seq int64) (sealedSegment, signedContent, error) {
	members := tar.NewReader(io.LimitReader(r, maxSegmentJSON+maxSegmentSig+4*tarBlock))
	content, err := readMember(members, "seg.json", maxSegmentJSON)
	if err != nil {
		return sealedSegment{}, signedContent{}, err
	}
	signature, err := readMember(members, "seg.json.sig", maxSegmentSig)
	if err != nil {
		return sealedSegment{}, signedContent{}, err
	}
	signed := signedContent{content, signature}
	s, err := parseSegmentJSON(content, lineage, seq)
	if err == nil && s.objectSize(signed) > maxSegment {
		err = fmt.Errorf("segment has more than %d bytes", maxSegment)
	}
	return s, signed, err
}

// readMember reads the next member, which must be the named one.
func readMember(members *tar.Reader, name string, limit int64) ([]byte, error) {
	header, err := members.Next()
	if err != nil {
		return nil, fmt.Errorf("read tar: %s: %w", name, unexpected(err))
	}
	if header.Name != name || header.Size > limit {
		return nil, fmt.Errorf("read tar: member %q of %d bytes in place of %s", header.Name, header.Size, name)
	}
	content, err := io.ReadAll(members)
	if err != nil {
		return nil, fmt.Errorf("read tar: %s: %w", name, unexpected(err))
	}
	return content, nil
}

// objectSize is the size of the segment's object.
func (s Segment) objectSize(signed signedContent) int64 {
	sizes := []int64{int64(len(signed.content)), int64(len(signed.signature))}
	if s.Payload != nil {
		sizes = append(sizes, s.Payload.Size)
	}
	return tarSize(sizes...)
}
