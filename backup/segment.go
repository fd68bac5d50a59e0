package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"filippo.io/age"

	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

// SegmentNamespace is the namespace of the signatures of segments.
const SegmentNamespace = "gwdr-seg-v1"

// Segment is one step of a lineage's log: the content of seg.json. It holds the changes of the revisions after From, up to
// To, whole; or none, if nothing changed; or it says that they are not known.
type Segment struct {
	Schema     string    `json:"schema"` // gwdr/segment/v1
	Lineage    string    `json:"lineage"`
	Seq        int64     `json:"seq"`                // position in the log, from 1: another writer at the same one cannot be overlooked
	Previous   string    `json:"previous,omitempty"` // sha256 of the seg.json before it; absent in the first
	From       int64     `json:"from"`
	To         int64     `json:"to"`
	After      time.Time `json:"after,omitzero"`   // consistency time of the segment before it
	Time       time.Time `json:"consistency_time"` // UTC: whatever was acknowledged by then is in here, or before, or in the next of the same Time
	Gap        bool      `json:"gap,omitempty"`    // the changes after From are not known: only a point shows To
	Count      int       `json:"count"`            // changes
	Payload    *Payload  `json:"payload,omitempty"`
	Recipients []string  `json:"recipients,omitempty"`
	Tool       string    `json:"tool"`
}

// Payload describes the encrypted changes of a Segment: seg.jsonl.zst.age.
type Payload struct {
	SHA256 string `json:"sha256"` // of the ciphertext
	Size   int64  `json:"size"`
	Raw    int64  `json:"raw_size"` // of the lines inside, in bytes
}

const (
	segmentSchema = "gwdr/segment/v1"
	logDir        = "log/"

	maxSegment = 512 << 20 // bytes of a segment's object
	cutSegment = 4 << 20   // bytes of bodies after which a segment takes no further revision
)

// segmentName is the name of a segment's object within its lineage.
func segmentName(seq int64) string { return fmt.Sprintf("%s%016x.tar", logDir, seq) }

// Object returns the full name of the segment's object at a location.
func (s Segment) Object() string { return lineageRoot(s.Lineage) + segmentName(s.Seq) }

// sealedSegment is a segment with its object.
type sealedSegment struct {
	Segment
	SHA256 string // of seg.json
	object []byte
}

// position is where the log stands after the segment.
func (s sealedSegment) position() Position { return Position{Seq: s.Seq, SHA256: s.SHA256} }

// sealSegment completes the segment with its changes and signs it.
func sealSegment(s Segment, batches []gateway.Batch, keys Keys) (sealedSegment, error) {
	var files []file
	s.Schema = segmentSchema
	for _, b := range batches {
		s.Count += len(b.Changes)
	}
	if s.Count > 0 {
		payload, sealed, err := sealChanges(batches, keys.Recipients)
		if err != nil {
			return sealedSegment{}, fmt.Errorf("seal segment: %w", err)
		}
		s.Payload, s.Recipients = &payload, keys.RecipientIDs
		files = append(files, file{"seg.jsonl.zst.age", sealed})
	}
	content := indentedJSON(s)
	if len(content) > maxSegmentJSON { // nobody would read it
		return sealedSegment{}, fmt.Errorf("seal segment: %d recipients are too many", len(s.Recipients))
	}
	object := packTar(append([]file{{"seg.json", content}, {"seg.json.sig", keys.Signer.Sign(SegmentNamespace, content)}}, files...)...)
	return sealedSegment{Segment: s, SHA256: hexSum(content), object: object}, nil
}

// readSegment checks a segment's object, found under the position of the lineage, in every respect that needs no other
// object and no identity.
func readSegment(object []byte, lineage string, seq int64, trusted sshsig.Trusted) (sealedSegment, error) {
	s, signature, err := parseSegment(object, lineage, seq)
	if err != nil {
		return sealedSegment{}, err
	}
	if err := signedBy(trusted)(s, signature); err != nil {
		return sealedSegment{}, err
	}
	return s, nil
}

type signedContent struct{ content, signature []byte }

// parseSegment is readSegment but for the signature.
func parseSegment(object []byte, lineage string, seq int64) (sealedSegment, signedContent, error) {
	contents, err := unpackTar(object, "seg.json", "seg.json.sig", "seg.jsonl.zst.age")
	if err != nil {
		if contents, err = unpackTar(object, "seg.json", "seg.json.sig"); err != nil {
			return sealedSegment{}, signedContent{}, err
		}
	}
	s, err := parseSegmentJSON(contents[0], lineage, seq)
	if err != nil {
		return sealedSegment{}, signedContent{}, err
	}
	s.object = object
	if err := s.owns(contents[2:]); err != nil {
		return sealedSegment{}, signedContent{}, err
	}
	return s, signedContent{contents[0], contents[1]}, nil
}

// parseSegmentJSON reads seg.json, and leaves the object out.
func parseSegmentJSON(content []byte, lineage string, seq int64) (sealedSegment, error) {
	s := sealedSegment{SHA256: hexSum(content)}
	if err := json.Unmarshal(content, &s.Segment); err != nil {
		return sealedSegment{}, fmt.Errorf("read seg.json: %w", err)
	}
	if s.Lineage != lineage || s.Seq != seq {
		return sealedSegment{}, errors.New("segment is stored under the name of another")
	}
	return s, s.validate()
}

// validate checks that the rest of the package can work with the segment.
func (s Segment) validate() error {
	switch {
	case s.Schema != segmentSchema:
		return fmt.Errorf("segment has the schema %q, not %s", s.Schema, segmentSchema)
	case s.Seq < 1 || s.From > s.To || s.Count < 0 || s.Gap && s.Count > 0:
		return errors.New("segment describes changes that cannot be")
	case (s.Count > 0) != (s.Payload != nil):
		return errors.New("segment and its payload do not belong together")
	case s.Payload != nil && (s.Payload.Size < 0 || s.Payload.Size > maxSegment || s.Payload.Raw < 0):
		return errors.New("segment describes a payload that cannot be")
	}
	return nil
}

// owns checks that the payload, if there is one, is the one that the segment names.
func (s Segment) owns(payload [][]byte) error {
	switch {
	case (s.Payload != nil) != (len(payload) == 1):
		return errors.New("segment and its payload do not belong together")
	case s.Payload != nil && (s.Payload.Size != int64(len(payload[0])) || hexSum(payload[0]) != s.Payload.SHA256):
		return errors.New("payload is not the one that was signed")
	}
	return nil
}

// changes hands the changes of the segment to each, in order.
func (s sealedSegment) changes(identities []age.Identity, each func(revision int64, c gateway.Change)) error {
	if s.Payload == nil {
		return nil
	}
	contents, err := unpackTar(s.object, "seg.json", "seg.json.sig", "seg.jsonl.zst.age")
	if err != nil {
		return err
	}
	plain, err := age.Decrypt(bytes.NewReader(contents[2]), identities...)
	if err != nil {
		return fmt.Errorf("decrypt segment %d: %w", s.Seq, err)
	}
	err = unpack(plain, s.Payload.Raw, func(r io.Reader) error { return readChanges(r, s.Segment, each) })
	if err != nil {
		return fmt.Errorf("open segment %d: %w", s.Seq, err)
	}
	return nil
}

// sameAs reports whether the object is the segment. The error wraps ErrIntegrity.
func (s sealedSegment) sameAs(object []byte) error {
	found, _, err := parseSegment(object, s.Lineage, s.Seq)
	if err == nil && found.SHA256 != s.SHA256 {
		err = errors.New("it is not the segment that was signed")
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrIntegrity, err)
	}
	return nil
}
