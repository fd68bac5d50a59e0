package backup

import (
	"archive/tar"
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"gwdr/gateway"
	"gwdr/internal/sshsig"
)

func compress(t testing.TB, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func testPoint(signer *sshsig.Signer) (object []byte, found Found) {
	return signPoint(Point{
		Schema: pointSchema, Lineage: strings.Repeat("ab", 16), Store: "s", Revision: 42, Time: time.Unix(1e9, 0).UTC(),
		Digest: strings.Repeat("cd", 32), Log: Position{Seq: 3, SHA256: strings.Repeat("12", 32)}, Base: Base{Seq: 2}, Packs: []Pack{{SHA256: strings.Repeat("ef", 32), Size: 1, Blocks: []string{"x"}}},
	}, signer)
}

// FuzzReadPoint: only the one object that was signed is a point.
func FuzzReadPoint(f *testing.F) {
	signer := fixedSigner(f)
	valid, found := testPoint(signer)
	trusted := sshsig.Trusted{}.Trust("x", signer.Public())
	if _, err := readPoint(valid, found.Lineage, found.Name, trusted); err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add(append(bytes.Clone(valid), 0))
	f.Add(packTar(file{"point.json", []byte("{}")}, file{"point.json.sig", nil}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, object []byte) {
		if _, err := readPoint(object, found.Lineage, found.Name, trusted); err == nil && !bytes.Equal(object, valid) {
			t.Errorf("other bytes are taken for the point: %q", object)
		}
	})
}

func FuzzUnpackTar(f *testing.F) {
	f.Add(packTar(file{"a", []byte("content")}, file{"b", nil}))
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Fuzz(func(t *testing.T, content []byte) {
		contents, err := unpackTar(content, "a", "b")
		if err == nil && !bytes.Equal(packTar(file{"a", contents[0]}, file{"b", contents[1]}), content) {
			t.Error("two tars have one content")
		}
	})
}

// loose returns a pack that is not sealed yet.
func loose(entities ...gateway.Entity) *loosePack {
	c := &loosePack{}
	for _, e := range entities {
		c.records = append(c.records, looseRecord{recordName(e.Ref), len(e.Body)})
		c.bodies = append(c.bodies, e.Body...)
	}
	return c
}

// FuzzReadPack reads foreign plain text; it is compressed by the fuzzer's side so that the mutations reach the tar.
func FuzzReadPack(f *testing.F) {
	var raw bytes.Buffer
	c := loose(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "a/b"}, Body: []byte("{}")})
	if _, err := writeRecords(f.Context(), &raw, c, func(int64) {}); err != nil {
		f.Fatal(err)
	}
	f.Add(raw.Bytes(), 1, int64(raw.Len()))
	f.Add([]byte{}, 0, int64(0))
	f.Fuzz(func(t *testing.T, raw []byte, count int, size int64) {
		got := 0
		err := readPack(bytes.NewReader(compress(t, raw)), Pack{Raw: size, Count: min(count, 1000)}, func(gateway.Entity) error {
			got++
			return nil
		})
		if err == nil && (size != int64(len(raw)) || got != max(count, 0)) {
			t.Errorf("%d entities from %d bytes; %d, %d were promised", got, len(raw), count, size)
		}
	})
}

func FuzzRecordName(f *testing.F) {
	for _, name := range []string{"route/a.json", "route/a%2Fb.json", "route/...json", "a/b/c.json", "/x.json", "route/%61.json"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		ref, err := parseRecordName(name)
		if err == nil && recordName(ref) != name {
			t.Errorf("%q and %q are one entity", name, recordName(ref))
		}
		if err == nil && (strings.Count(name, "/") != 1 || strings.HasPrefix(name, "/") || strings.Contains(name, "/../")) {
			t.Errorf("%q leads elsewhere", name)
		}
	})
}

// TestBombs: what expands without end costs no more than the point allows.
func TestBombs(t *testing.T) {
	const huge = 2 << 30
	var member bytes.Buffer
	w := tar.NewWriter(&member)
	if err := w.WriteHeader(tarHeader("route/a.json", maxRecord)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		head []byte
		pack Pack
	}{
		"zeros":                {nil, Pack{Raw: 1 << 20, Count: 0}},
		"zeros, no limit told": {nil, Pack{Raw: 0, Count: 0}},
		"one long entity":      {member.Bytes(), Pack{Raw: 1 << 20, Count: 1}},
	} {
		before := allocated()
		err := readPack(bomb(t, c.head, huge), c.pack, func(gateway.Entity) error { return nil })
		if err == nil {
			t.Errorf("%s: it was read", name)
		}
		if spent := allocated() - before; spent > 64<<20 {
			t.Errorf("%s: it cost %d MiB", name, spent>>20)
		}
	}
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// bomb gives a zstd stream of head and size zeros, as it is read.
func bomb(t *testing.T, head []byte, size int64) io.Reader {
	t.Helper()
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		z.Write(head)
		zeros := make([]byte, 1<<20)
		for range size >> 20 {
			if _, err := z.Write(zeros); err != nil {
				return
			}
		}
		w.CloseWithError(z.Close())
	}()
	return r
}

// TestSealIsDeterministic: but for the encryption, the same state makes the same bytes, and age's file is one that any
// of its recipients opens.
func TestSealIsDeterministic(t *testing.T) {
	state := loose(
		gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: strings.Repeat("x", 300)}, Body: []byte("2")},
		gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "b"}, Body: []byte("1")},
	)
	var recipients []age.Recipient
	var identities []*age.X25519Identity
	for range 2 {
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		identities = append(identities, identity)
		recipients = append(recipients, identity.Recipient())
	}
	var plain [][]byte
	for _, identity := range identities {
		var sealed bytes.Buffer
		pack, err := sealPack(t.Context(), &sealed, state, recipients, func(int64) {})
		if err != nil || pack.Size != int64(sealed.Len()) || pack.SHA256 != hexSum(sealed.Bytes()) || len(pack.Blocks) != 1 {
			t.Fatalf("sealPack = %+v, %v", pack, err)
		}
		r, err := age.Decrypt(&sealed, identity)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		plain = append(plain, content)
	}
	if !bytes.Equal(plain[0], plain[1]) {
		t.Error("the same state made different bytes")
	}
}

func TestBlockHash(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 300_000) // just under 3 MiB
	for _, step := range []int{1 << 20, 777_777, len(content)} {
		h := newBlockHash()
		for rest := content; len(rest) > 0; {
			n := min(step, len(rest))
			h.Write(rest[:n])
			rest = rest[n:]
		}
		pack := h.pack()
		if len(pack.Blocks) != 3 || pack.Blocks[1] != hexSum(content[1<<20:2<<20]) || pack.Blocks[2] != hexSum(content[2<<20:]) ||
			pack.SHA256 != hexSum(content) || pack.Size != int64(len(content)) {
			t.Errorf("steps of %d: %+v", step, pack)
		}
	}
}
