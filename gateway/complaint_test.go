package gateway

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestComplaintIsDueOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Complaint
		gone, refused := errors.New("gone"), errors.New("refused")
		due := 0
		for range 1200 { // ten minutes
			if c.IsDue(gone) {
				due++
			}
			time.Sleep(500 * time.Millisecond)
		}
		if due != 10 {
			t.Errorf("told %d times in ten minutes", due)
		}
		if !c.IsDue(refused) || !c.IsDue(gone) {
			t.Error("another error is not told")
		}
	})
}
