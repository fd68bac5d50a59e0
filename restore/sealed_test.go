package restore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// sealed is a history at three locations, of which tests damage copies: to seal it takes longer than to restore it.
type sealed struct {
	*world
	moments []*moment // in order
}

// moment is one backup of the history: a segment, and a point unless only the log is left of it.
type moment struct {
	backup.Found
	state     *gateway.State // that the gateway had
	digest    string         // of that
	gap       bool           // the segment does not lead here
	lineageNo int
	kept      bool // the point
}

func newSealed(t *testing.T) *sealed { return &sealed{world: newWorld(t, severalPacks()...)} }

// take backs the gateway up, by its changes if possible.
func (s *sealed) take(full bool) *moment {
	s.t.Helper()
	m := s.takeAs(backup.Job{Copies: s.copies, Keys: s.keys, Spool: s.spool, Full: full})
	s.moments = append(s.moments, m)
	if len(s.moments) > 1 {
		last := s.moments[len(s.moments)-2]
		if m.lineageNo = last.lineageNo; m.Lineage != last.Lineage {
			m.lineageNo++
		}
	}
	return m
}

// takeAs backs the gateway up as the job of some writer says.
func (s *sealed) takeAs(job backup.Job) *moment {
	s.t.Helper()
	job.Source, job.Gateway, job.Tool = gatewaytest.Tracked{Gateway: s.gateway}, "test", "test"
	res, err := backup.Take(s.t.Context(), job)
	if err != nil {
		s.t.Fatal(err)
	}
	found, _ := backup.Find(s.t.Context(), s.copies, job.Keys.Trusted)
	i := slices.IndexFunc(found, func(f backup.Found) bool { return f.Name == res.Point })
	state := exportOf(s.t, s.gateway).State
	return &moment{Found: found[i], state: state, digest: state.Digest(), gap: found[i].Log.Seq == 1, kept: true}
}

// logOnly takes the moment's point away from all locations: what is left is the log.
func (s *sealed) logOnly(m *moment) {
	m.kept = false
	for _, memory := range s.memories {
		memory.Set(m.Object(), nil)
	}
}

func (m *moment) segment() string { return fmt.Sprintf("gwdr1/%s/log/%016x.tar", m.Lineage, m.Log.Seq) }

// packObjects returns the full names of the point's packs.
func (m *moment) packObjects() (names []string) {
	for _, p := range m.Packs {
		names = append(names, m.PackObject(p))
	}
	return names
}

// restoreFrom is a restore from locations that hold the objects.
func (s *sealed) restoreFrom(target gateway.Target, held ...map[string][]byte) (*Restore, []*backuptest.Memory) {
	copies, memories := backuptest.Copies()
	for i, objects := range held {
		for name, content := range objects {
			memories[i].Set(name, content)
		}
	}
	return &Restore{Source: Source{Copies: copies, Keys: s.keys}, Target: target}, memories
}

// held returns what the locations hold; the bodies are shared.
func (s *sealed) held() (all []map[string][]byte) {
	objects := s.memories[0].Objects()
	for range s.memories {
		all = append(all, maps.Clone(objects))
	}
	return all
}

// severalPacks returns entities that make three packs, of which the second has several blocks.
func severalPacks() []gateway.Entity {
	all := []gateway.Entity{
		entity(gateway.Setting, "log", `{"level":"info"}`), entity(gateway.Upstream, "echo", `{"endpoints":[{"url":"http://127.0.0.1:1"}]}`),
		entity(gateway.Consumer, "acme", `{"name":"Acme"}`),
	}
	for i := range 4 {
		id := strings.Repeat(fmt.Sprint(i), 16)
		all = append(all, keyIssued(id, time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)),
			entity(gateway.Route, fmt.Sprint("route-", i), fmt.Sprintf(`{"path":"/%d","upstream":"echo","auth":"none"}`, i)))
	}
	random := rand.NewChaCha8([32]byte{})
	const size, parts = 128 << 10, 33 // a pack has more than 4 MiB
	for i := range parts {
		noise := make([]byte, size/2)
		random.Read(noise)
		all = append(all, entity(gateway.Spec, specID("a", i, parts), `{"x":"`+strings.Repeat("0123456789abcdef", size/16)+`"}`),
			entity(gateway.Spec, specID("b", i, parts), `{"x":"`+hex.EncodeToString(noise)+`"}`))
	}
	return all
}

// specID makes the last one end a pack.
func specID(series string, i, of int) string {
	for n := 0; ; n++ {
		id := fmt.Sprintf("%s-%02d-%d", series, i, n)
		if sum := sha256.Sum256([]byte("spec/" + id + ".json")); i < of-1 || sum[0] < 4 {
			return id
		}
	}
}
