package gateway_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

func entity(k gateway.Kind, id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: k, ID: id}, Body: []byte(body)}
}

func sample() (gateway.Header, *gateway.State) {
	h := gateway.Header{Store: "5d0c", Revision: 42, Epoch: 3, Time: time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)}
	return h, gateway.NewState(
		entity(gateway.Route, "orders/{id}", `{"path":"/orders/<id>&"}`),
		entity(gateway.Spec, "höchste", "openapi: 3.1.0\n\x00\xff"),
		entity(gateway.Upstream, "echo", ""),
		gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: "nil"}},
	)
}

func stream(t testing.TB) []byte {
	t.Helper()
	h, s := sample()
	var b bytes.Buffer
	if err := gateway.WriteStream(&b, h, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// collect reads a stream entity by entity.
func collect(r io.Reader) (all []gateway.Entity, err error) {
	err = gateway.ReadEntities(r, func(gateway.Header) error { return nil }, func(e gateway.Entity) error {
		all = append(all, gateway.Entity{Ref: e.Ref, Body: bytes.Clone(e.Body)})
		return nil
	})
	return all, err
}

func TestStreamComesBackAsWritten(t *testing.T) {
	h, s := sample()
	gotHeader, got, err := gateway.ReadStream(bytes.NewReader(stream(t)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(h, gotHeader); d != "" {
		t.Error(d)
	}
	if got.Digest() != s.Digest() || got.Len() != s.Len() {
		t.Errorf("state differs: %v, want %v", got.Refs(), s.Refs())
	}
	all, err := collect(bytes.NewReader(stream(t)))
	if err != nil || len(all) != s.Len() || gateway.NewState(all...).Digest() != s.Digest() {
		t.Errorf("entity by entity: %v, %v", all, err)
	}
}

// A document larger than any buffer passes, and a line without an end does not fill the memory.
func TestStreamOfLongLines(t *testing.T) {
	want := gateway.NewState(entity(gateway.Spec, "a", strings.Repeat("0123456789abcdef", 1<<17)), entity(gateway.Spec, "b", "{}"))
	var b bytes.Buffer
	if err := gateway.WriteStream(&b, gateway.Header{}, want); err != nil {
		t.Fatal(err)
	}
	_, got, err := gateway.ReadStream(&b)
	if err != nil || got.Digest() != want.Digest() {
		t.Errorf("long lines: %v", err)
	}
	endless := io.MultiReader(strings.NewReader(`{"store":"a"}`+"\n"), spaces{})
	if _, err := collect(endless); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a line without an end: %v", err)
	}
}

// spaces is a reader of nothing else.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestStreamEndsWithItsReader(t *testing.T) {
	stop := errors.New("stop")
	err := gateway.ReadEntities(bytes.NewReader(stream(t)), func(gateway.Header) error { return stop }, nil)
	if !errors.Is(err, stop) {
		t.Errorf("begin: %v", err)
	}
	err = gateway.ReadEntities(bytes.NewReader(stream(t)), func(gateway.Header) error { return nil }, func(gateway.Entity) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("each: %v", err)
	}
}

func TestStreamCutAnywhereIsTorn(t *testing.T) {
	whole := stream(t)
	for n := range len(whole) - 1 { // the last byte is only the line feed
		if _, _, err := gateway.ReadStream(bytes.NewReader(whole[:n])); !errors.Is(err, gateway.ErrTorn) {
			t.Fatalf("cut at %d of %d: error %v, want torn", n, len(whole), err)
		}
		if _, err := collect(bytes.NewReader(whole[:n])); !errors.Is(err, gateway.ErrTorn) {
			t.Fatalf("cut at %d of %d, entity by entity: error %v, want torn", n, len(whole), err)
		}
	}
}

func TestStreamRefuses(t *testing.T) {
	const head = `{"store":"a","revision":1,"epoch":1,"time":"2026-01-01T00:00:00Z"}` + "\n"
	const one = `{"kind":"route","id":"a","body":"e30="}` + "\n"
	for name, text := range map[string]string{
		"no header":       one + `{"end":true,"count":1}`,
		"wrong count":     head + one + `{"end":true,"count":2}`,
		"twice":           head + one + one + `{"end":true,"count":2}`,
		"after the end":   head + one + `{"end":true,"count":1}` + "\n" + one,
		"no kind":         head + `{"id":"a","body":"e30="}` + "\n" + `{"end":true,"count":1}`,
		"no base64":       head + `{"kind":"route","id":"a","body":"{}"}` + "\n" + `{"end":true,"count":1}`,
		"no body":         head + `{"kind":"route","id":"a"}` + "\n" + `{"end":true,"count":1}`,
		"an entity's end": head + `{"kind":"route","id":"a","body":"e30=","end":true,"count":0}`,
		"not JSON":        "hello\n",
		"an array inside": head + `[1]`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, s, err := gateway.ReadStream(strings.NewReader(text)); err == nil || s != nil {
				t.Errorf("got %v, %v; want an error", s, err)
			}
			if _, err := collect(strings.NewReader(text)); err == nil {
				t.Error("read entity by entity")
			}
		})
	}
}

// Without all of it in memory, the order is what tells whether an entity is there twice.
func TestEntitiesOutOfOrder(t *testing.T) {
	const head, end = `{"store":"a"}` + "\n", `{"end":true,"count":2}`
	a, b := `{"kind":"route","id":"a","body":"e30="}`+"\n", `{"kind":"route","id":"b","body":"e30="}`+"\n"
	key := `{"kind":"key","id":"z","body":"e30="}` + "\n"
	for text, ordered := range map[string]bool{a + b: true, key + a: true, b + a: false, a + key: false} {
		if _, err := collect(strings.NewReader(head + text + end)); (err == nil) != ordered {
			t.Errorf("%s%v", text, err)
		}
		if _, _, err := gateway.ReadStream(strings.NewReader(head + text + end)); err != nil {
			t.Errorf("%s%v", text, err)
		}
	}
}

func TestStreamRefusesToAlterAnID(t *testing.T) {
	s := gateway.NewState(entity(gateway.Route, "a\xff", "{}"))
	if err := gateway.WriteStream(&bytes.Buffer{}, gateway.Header{}, s); err == nil {
		t.Error("wrote an id that JSON cannot hold")
	}
}

func TestBatchJSON(t *testing.T) {
	b := gateway.Batch{Revision: 9, Changes: []gateway.Change{
		{Op: gateway.Create, Entity: entity(gateway.Route, "a", `{}`)},
		{Op: gateway.Update, Entity: entity(gateway.Spec, "b", "")},
		{Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: "c"}}},
	}}
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"revision":9,"changes":[{"op":"create","kind":"route","id":"a","body":"e30="},` +
		`{"op":"update","kind":"spec","id":"b","body":""},{"op":"delete","kind":"key","id":"c"}]}`
	if string(text) != want {
		t.Errorf("wrote %s\nwant  %s", text, want)
	}
	var got gateway.Batch
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b, got); d != "" {
		t.Error(d)
	}
	heartbeat, _ := json.Marshal(gateway.Batch{Revision: 7})
	if string(heartbeat) != `{"revision":7}` {
		t.Errorf("heartbeat is %s", heartbeat)
	}
}

func TestChangeRefusesWhatItCannotDo(t *testing.T) {
	for _, text := range []string{
		`{"op":"put","kind":"route","id":"a","body":"e30="}`,
		`{"op":"create","kind":"route","id":"a"}`,
		`{"op":"create","kind":"route","body":"e30="}`,
		`{"op":"delete","id":"a"}`,
		`{"op":"delete","kind":"route","id":7}`,
	} {
		var c gateway.Change
		if err := json.Unmarshal([]byte(text), &c); err == nil {
			t.Errorf("read %s as %v", text, c)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	whole := stream(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"store":""}` + "\r\n\n" + `{"body":"e30=","KIND":"route","id":"\u0061"}` + "\n" + `{"kind":"route","id":"b","body":""}` + "\n" + `{"end":true,"count":2}`))
	f.Add([]byte(`{"store":""}` + "\n" + `{"end":true,"count":0}`))
	f.Add([]byte(`{"store":"a"}{"kind":"route","id":"a","body":null,"end":true,"count":0}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, s, err := gateway.ReadStream(bytes.NewReader(text))
		all, streamed := collect(bytes.NewReader(text))
		if err != nil {
			if streamed == nil {
				t.Errorf("entity by entity it passes: %v", err)
			}
			return
		}
		if streamed == nil && gateway.NewState(all...).Digest() != s.Digest() {
			t.Errorf("entity by entity it is %v, not %v", all, s.Refs())
		}
		var b bytes.Buffer
		if err := gateway.WriteStream(&b, h, s); err != nil {
			return // a time beyond year 9999
		}
		h2, s2, err := gateway.ReadStream(&b)
		if err != nil || s2.Digest() != s.Digest() || h2.Store != h.Store || h2.Revision != h.Revision {
			t.Errorf("read %v %v, wrote and read %v %v: %v", h, s.Refs(), h2, s2.Refs(), err)
		}
	})
}

func BenchmarkWriteStream(b *testing.B) {
	s := large()
	b.SetBytes(int64(len(streamOf(b, s))))
	b.ReportAllocs()
	for b.Loop() {
		if err := gateway.WriteStream(io.Discard, gateway.Header{}, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamWriter(b *testing.B) {
	var all []gateway.Entity
	for e := range large().All() {
		all = append(all, e)
	}
	b.SetBytes(int64(len(streamOf(b, gateway.NewState(all...)))))
	b.ReportAllocs()
	for b.Loop() {
		w := gateway.StreamWriter{W: io.Discard}
		if err := w.Begin(gateway.Header{}); err != nil {
			b.Fatal(err)
		}
		for _, e := range all {
			if err := w.Entity(e); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.End(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadStream(b *testing.B) {
	text := streamOf(b, large())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := gateway.ReadStream(bytes.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadEntities(b *testing.B) {
	text := streamOf(b, large())
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		err := gateway.ReadEntities(bytes.NewReader(text), func(gateway.Header) error { return nil }, func(gateway.Entity) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
}

func streamOf(b *testing.B, s *gateway.State) []byte {
	var text bytes.Buffer
	if err := gateway.WriteStream(&text, gateway.Header{}, s); err != nil {
		b.Fatal(err)
	}
	return text.Bytes()
}
