package backup_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestLoadLongLog: a point that stands far behind its base, over small and large segments, is loaded from whichever location
// has each of them, also where one has those of somebody else.
func TestLoadLongLog(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Setting, "base", "{}"))
	h.take(t)
	noise := make([]byte, 100<<10)
	random := rand.NewChaCha8([32]byte{})
	for n := range 80 {
		body := fmt.Sprintf(`{"n":%d}`, n)
		if n%20 == 7 {
			random.Read(noise)
			body = `{"n":"` + hex.EncodeToString(noise) + `"}`
		}
		h.source.Put(backuptest.Entity(gateway.Setting, fmt.Sprint("a", n%3), body))
		h.take(t)
	}
	newest := h.find(t)[0]
	if span := newest.Log.Seq - newest.Base.Seq; span != 80 {
		t.Fatalf("the point stands %d segments behind its base", span)
	}
	segment := func(n int64) string { return fmt.Sprintf("gwdr1/%s/log/%016x.tar", newest.Lineage, n) }
	all := h.memories[0].Objects()
	for n := int64(2); n <= 81; n++ {
		switch {
		case n%5 == 0:
			h.memories[0].Set(segment(n), all[segment(n-1)])
		case n%5 == 1:
			h.memories[0].Set(segment(n), nil)
		}
	}
	if state, from, err := backup.Load(t.Context(), newest, h.job.Copies, h.job.Keys.Identities); err != nil || state.Len() != 4 || len(from.ByCopy()) != 2 {
		t.Errorf("loaded from %v, %v", from.ByCopy(), err)
	}
	for _, m := range h.memories {
		m.Set(segment(9), nil) // a large one
	}
	if _, from, err := backup.Load(t.Context(), newest, h.job.Copies, h.job.Keys.Identities); err == nil {
		t.Errorf("loaded without segment 9 from %v", from.ByCopy())
	}
}
