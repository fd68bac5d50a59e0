package backup_test

import (
	"strings"
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
