package backup

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

// fixedSigner returns the same key in every process: fuzzing has many, and what one finds must mean the same to the others.
func fixedSigner(t testing.TB) *sshsig.Signer {
	t.Helper()
	block, err := ssh.MarshalPrivateKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := sshsig.ParseSigner(pem.EncodeToMemory(block))
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// fixedSegment returns a segment whose payload is not encrypted, which nobody sees who does not open it.
func fixedSegment(t testing.TB) (object []byte, s Segment) {
	t.Helper()
	payload := []byte("payload")
	s = Segment{Schema: segmentSchema, Lineage: strings.Repeat("ab", 16), Seq: 7, Previous: strings.Repeat("12", 32), From: 3, To: 9,
		Time: time.Unix(1e9, 0).UTC(), Count: 3, Payload: &Payload{SHA256: hexSum(payload), Size: int64(len(payload)), Raw: 99}}
	content := indentedJSON(s)
	return packTar(file{"seg.json", content}, file{"seg.json.sig", fixedSigner(t).Sign(SegmentNamespace, content)}, file{"seg.jsonl.zst.age", payload}), s
}

func testBatches() []gateway.Batch {
	route := gateway.Ref{Kind: gateway.Route, ID: "a/b"}
	return []gateway.Batch{
		{Revision: 4, Changes: []gateway.Change{{Op: gateway.Create, Entity: gateway.Entity{Ref: route, Body: []byte("<&>\u2028\x00")}}}},
		{Revision: 9, Changes: []gateway.Change{
			{Op: gateway.Update, Entity: gateway.Entity{Ref: route, Body: []byte{0xff, 0}}},
			{Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: "k"}}},
		}},
	}
}

// FuzzReadSegment: only the one object that was signed is a segment.
func FuzzReadSegment(f *testing.F) {
	valid, s := fixedSegment(f)
	trusted := sshsig.Trusted{}.Trust("x", fixedSigner(f).Public())
	if _, err := readSegment(valid, s.Lineage, s.Seq, trusted); err != nil {
		f.Fatal(err)
	}
	empty, err := sealSegment(Segment{Lineage: s.Lineage, Seq: s.Seq, From: 3, To: 3}, nil, Keys{Signer: sshsig.NewSigner("")})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add(empty.object)
	f.Add(append(bytes.Clone(valid), 0))
	f.Add(packTar(file{"seg.json", []byte("{}")}, file{"seg.json.sig", nil}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, object []byte) {
		if _, err := readSegment(object, s.Lineage, s.Seq, trusted); err == nil && !bytes.Equal(object, valid) {
			t.Errorf("other bytes are taken for the segment: %q", object)
		}
	})
}

// FuzzReadAttest: only the one object that was signed is an attestation.
func FuzzReadAttest(f *testing.F) {
	signer := fixedSigner(f)
	a := Attestation{Schema: attestSchema, Lineage: strings.Repeat("ab", 16), Point: "points/x", Ended: time.Unix(1e9, 0).UTC(), Result: ResultPass}
	valid, name := signAttest(a, signer), attestName(a)
	trusted := sshsig.Trusted{}.Trust("x", signer.Public())
	if _, err := readAttest(valid, a.Lineage, name, trusted); err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add(signAttest(a, sshsig.NewSigner("")))
	f.Add(append(bytes.Clone(valid), 0))
	f.Add(packTar(file{"attest.json", []byte("{}")}, file{"attest.json.sig", signer.Sign(PointNamespace, []byte("{}"))}))
	f.Fuzz(func(t *testing.T, object []byte) {
		if _, err := readAttest(object, a.Lineage, name, trusted); err == nil && !bytes.Equal(object, valid) {
			t.Errorf("other bytes are taken for the attestation: %q", object)
		}
	})
}

// FuzzReadChanges reads foreign lines, as if they had been signed: what comes out is within what the segment says, and can be
// written down again.
func FuzzReadChanges(f *testing.F) {
	var lines bytes.Buffer
	if err := writeChanges(&lines, testBatches()); err != nil {
		f.Fatal(err)
	}
	f.Add(lines.Bytes(), 3)
	f.Add([]byte(`{"revision":4,"op":"create","name":"route/a.json","text":"{}","base64":""}`), 1)
	f.Add([]byte(`{"revision":10,"op":"delete","name":"route/a.json"}`), 1)
	f.Add([]byte(`{"revision":4,"op":"delete","name":"../a.json"}`), 1)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, lines []byte, count int) {
		count = min(max(count, 0), 100)
		var batches []gateway.Batch
		last := int64(0)
		err := readChanges(bytes.NewReader(lines), Segment{From: 3, To: 9, Count: count}, func(revision int64, c gateway.Change) {
			if revision < 4 || revision > 9 || revision < last {
				t.Errorf("revision %d comes after %d", revision, last)
			}
			last = revision
			batches = append(batches, gateway.Batch{Revision: revision, Changes: []gateway.Change{c}})
		})
		if err != nil {
			return
		}
		if len(batches) != count {
			t.Errorf("%d changes, and %d were promised", len(batches), count)
		}
		var again bytes.Buffer
		if err := writeChanges(&again, batches); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

// TestChangeBombs: changes that expand without end cost no more than the segment allows.
func TestChangeBombs(t *testing.T) {
	const huge = 2 << 30
	for name, c := range map[string]struct {
		head string
		raw  int64
	}{
		"no changes":         {"", 1 << 20},
		"one long body":      {`{"revision":4,"op":"create","name":"route/a.json","text":"`, 1 << 20},
		"no limit was told":  {`{"revision":4,"op":"create","name":"route/a.json","text":"`, 0},
		"a limit of a GiB":   {"", 1 << 30},
		"changes, then more": {`{"revision":4,"op":"delete","name":"route/a.json"}`, 1 << 20},
	} {
		before := allocated()
		s := Segment{From: 3, To: 9, Count: 1}
		err := unpack(bomb(t, []byte(c.head), huge), c.raw, func(r io.Reader) error {
			return readChanges(r, s, func(int64, gateway.Change) {})
		})
		if err == nil {
			t.Errorf("%s: it was read", name)
		}
		if spent := allocated() - before; spent > 64<<20 {
			t.Errorf("%s: it cost %d MiB", name, spent>>20)
		}
	}
}
