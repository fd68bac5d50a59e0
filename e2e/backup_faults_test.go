package e2e

import (
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestBackupThroughFaults: whatever one of three locations does, the backup says so, costs bounded time, and is at the two
// others. The next one catches up, and then everything is whole everywhere.
func TestBackupThroughFaults(t *testing.T) {
	for _, c := range []struct {
		fault
		says string // empty: the location takes the backup all the same
	}{
		{fault{name: "500", do: says(500, "InternalError")}, "500 InternalError"},
		{fault{name: "503", do: says(503, "SlowDown")}, "503 SlowDown"},
		{fault{name: "500 to writes", on: isWrite, do: says(500, "InternalError")}, "500 InternalError"},
		{fault{name: "hang", do: hang}, "nothing moved"},
		{fault{name: "stall in the request", on: isWrite, do: stall}, "no answer"},
		{fault{name: "cut in the request", on: isWrite, do: cutRequest}, "no answer"},
		{fault{name: "points refused", on: isPoint, do: says(500, "InternalError")}, "/points/"},
		{fault{name: "point hangs", on: isPoint, do: hang}, "/points/"},
		{fault{name: "point cut in the request", on: isPoint, do: cutRequest}, "/points/"},
		{fault{name: "409 always", on: isObject, do: says(409, "ConditionalRequestConflict")}, "409 ConditionalRequestConflict"},
		{fault{name: "token expired", do: says(400, "ExpiredToken")}, "does not accept the credentials"},
		{fault{name: "500 once", times: 1, do: says(500, "InternalError")}, ""},
		{fault{name: "answers lost", on: isObject, do: loseAnswer}, ""},
		{fault{name: "answers lost, then 412", on: isObject, do: loseThenLie}, ""},
		{fault{name: "done, and 500", on: isObject, do: doThenFail}, ""},
		{fault{name: "409 three times", on: isObject, times: 3, do: says(409, "ConditionalRequestConflict")}, ""},
		{fault{name: "conditions ignored", on: isObject, do: ignoreCondition}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most wait most of the time
			h, p := newHouse(t), newFaultProxy(t)
			h.job.Copies[2].Location = openOptions(t, impatient(t, h.bucket, "compliance/1h", p))
			h.job.Patience = 3 * time.Second
			source := backuptest.NewSource("store", someEntities()...)
			h.job.Source = source
			h.take(t)

			source.Put(backuptest.Entity(gateway.Route, "new", `{"path":"/new"}`))
			p.set(c.fault)
			started := time.Now()
			result := h.take(t)
			if took := time.Since(started); took > soon {
				t.Errorf("backup took %s", took)
			}
			offsite := result.Locations[2]
			if p.met() == 0 {
				t.Error("the fault met nothing")
			}
			if ok := c.says == ""; offsite.OK != ok || result.Stored() != map[bool]int{true: 3, false: 2}[ok] || !strings.Contains(offsite.Error, c.says) {
				t.Errorf("stored at %d locations; %s", result.Stored(), offsite.Error)
			}

			p.set(fault{})
			source.Put(backuptest.Entity(gateway.Route, "newer", `{"path":"/newer"}`))
			result = h.take(t)
			if want := map[bool]int{true: 0, false: 1}[c.says == ""]; !result.Complete() || result.Locations[2].CaughtUp != want {
				t.Errorf("after the fault: caught up %d, %+v", result.Locations[2].CaughtUp, result)
			}
			h.wantSound(t, 3)
		})
	}
}

// wantSound verifies every copy, each alone as well.
func (h *house) wantSound(t *testing.T, points int) {
	t.Helper()
	sets := [][]backup.Copy{h.job.Copies}
	for i := range h.job.Copies {
		sets = append(sets, h.job.Copies[i:i+1])
	}
	for _, copies := range sets {
		v, err := backup.Verify(t.Context(), copies, h.job.Keys, backup.VerifyOptions{All: true})
		if err != nil || !v.Sound() || v.Points != points || v.Decrypted != points {
			t.Errorf("Verify of %d copies, first %s = %+v, %v", len(copies), copies[0].Name, v, err)
		}
	}
}
