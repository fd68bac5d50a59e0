package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestTailFarSegment: somebody's object at a position that no log reaches does not keep the reader busy until it gets there.
func TestTailFarSegment(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Setting, "a", "{}"))
	h.take(t)
	first := h.find(t)[0]
	h.source.Put(backuptest.Entity(gateway.Setting, "a", `{"n":1}`))
	h.take(t)
	h.memories[1].Set("gwdr1/"+first.Lineage+"/log/7fffffffffffffff.tar", []byte("none"))
	tail, err := backup.ReadTail(t.Context(), first, h.job.Copies, h.job.Keys.Trusted, backup.TailBound{AcrossGaps: true})
	if err != nil || tail.Segments != 1 || tail.Changes != 1 || !strings.Contains(tail.Stop, "segment 3 of the log is whole at no location") {
		t.Errorf("tail %+v, %v", tail, err)
	}
}

// bottomless is a location that makes every object whose name holds the text go on without end: after what is there, if that
// is to stay, and else from its beginning on.
type bottomless struct {
	backup.Location
	text string
	stay int // so many bytes of what is there
	fill byte
	read atomic.Int64 // bytes of such objects
	most atomic.Int64 // of one
	open atomic.Int64 // bytes of those that are being read
	peak atomic.Int64 // of open
}

func (e *bottomless) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := e.Location.Get(ctx, name)
	if err != nil || !strings.Contains(name, e.text) {
		return r, err
	}
	content, err := io.ReadAll(r)
	return &bottomlessBody{from: e, rest: bytes.NewReader(content[:min(e.stay, len(content))])}, err
}

type bottomlessBody struct {
	from *bottomless
	rest *bytes.Reader
	n    int64
}

// Read says at last that it ends, or a test that fails would take the machine's memory.
func (b *bottomlessBody) Read(p []byte) (int, error) {
	if b.n > 1<<30 {
		return 0, io.EOF
	}
	n, _ := b.rest.Read(p)
	if n == 0 {
		n = len(p)
		for i := range p {
			p[i] = b.from.fill
		}
	}
	b.n += int64(n)
	b.from.read.Add(int64(n))
	b.from.most.Store(max(b.from.most.Load(), b.n))
	b.from.peak.Store(max(b.from.peak.Load(), b.from.open.Add(int64(n))))
	return n, nil
}

func (b *bottomlessBody) Close() error {
	b.from.open.Add(-b.n)
	return nil
}

// TestEndlessObjects: of an object that goes on without end no more is read than what was signed, or than a few KiB where
// nothing is; and what other locations have counts.
func TestEndlessObjects(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Setting, "a", "{}"))
	h.take(t)
	first := h.find(t)[0]
	for n := range 9 {
		h.source.Put(backuptest.Entity(gateway.Setting, "a", fmt.Sprintf(`{"n":%d}`, n)))
		h.take(t)
	}
	newest := h.find(t)[0]
	for name, c := range map[string]struct {
		text string
		stay int
		most int64 // bytes of one object
	}{
		"segment of zeros":               {"/log/", 0, 140 << 10},
		"segment with an endless end":    {"/log/", 1 << 20, 8 << 10},
		"segment that begins as one":     {"/log/", 700, 140 << 10},
		"segment with a foreign payload": {"/log/", 3 << 10, 8 << 10},
		"pack of zeros":                  {"/packs/", 0, 64 << 10},
		"pack with an endless end":       {"/packs/", 1 << 20, 64 << 10},
	} {
		for _, fill := range []byte{0, 'x'} {
			bad := &bottomless{Location: h.memories[0], text: c.text, stay: c.stay, fill: fill}
			copies := slices.Clone(h.job.Copies)
			copies[0].Location = bad
			if tail, err := backup.ReadTail(t.Context(), first, copies, h.job.Keys.Trusted, backup.TailBound{}); err != nil || tail.Segments != 9 || tail.Stop != "" {
				t.Errorf("%s: tail %+v, %v", name, tail, err)
			}
			if state, from, err := backup.Load(t.Context(), newest, copies, h.job.Keys.Identities); err != nil || state.Digest() != newest.Digest {
				t.Errorf("%s: loaded from %v, %v", name, from, err)
			}
			if stray, _ := backup.NewForks(copies, h.job.Keys.Trusted).Stray(t.Context(), newest); stray {
				t.Errorf("%s: the point strays", name)
			}
			backup.Verify(t.Context(), copies, h.job.Keys, backup.VerifyOptions{All: true})
			backup.CheckStatus(t.Context(), copies, h.job.Keys, h.job.Policy, backup.StatusOptions{})
			if bad.most.Load() > c.most || bad.most.Load() == 0 {
				t.Errorf("%s: %d bytes of an object were read, %d in all", name, bad.most.Load(), bad.read.Load())
			}
		}
	}
}

// TestEndlessPoints: points that go on without end cost little memory, however many there are.
func TestEndlessPoints(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Setting, "a", "{}"))
	h.take(t)
	newest := h.find(t)[0]
	for i := range 12 {
		h.memories[0].Set(fmt.Sprintf("gwdr1/%s/points/29991231T235959Z-%016x-00000000.tar", newest.Lineage, i), []byte("x"))
	}
	bad := &bottomless{Location: h.memories[0], text: "/points/", fill: 'x'}
	copies := slices.Clone(h.job.Copies)
	copies[0].Location = bad
	found, problems := backup.Find(t.Context(), copies, h.job.Keys.Trusted)
	if len(found) != 1 || found[0].Name != newest.Name || len(problems) != 13 {
		t.Errorf("found %v, problems %v", found, problems)
	}
	if bad.most.Load() > 8<<20+1 || bad.peak.Load() > 11<<20 {
		t.Errorf("%d bytes of a point were read, %d at a time", bad.most.Load(), bad.peak.Load())
	}
}
