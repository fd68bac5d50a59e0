package drills

import (
	"slices"
	"testing"

	"gwdr/probes"
)

// TestLossFindings counts one change as one, but as older builds did where one of them reported it.
func TestLossFindings(t *testing.T) {
	one := probes.Loss{Holes: 1, Fork: &probes.Fork{Count: 1}, Phantom: 1, Duplicate: 2}
	for version, want := range map[int][]string{
		definitions: {
			"what survived is no state of one instant: 1 change is lost although later ones survived",
			"fork window: 1 change that was acknowledged after the fault did not survive",
			"1 change is there although it was rejected or never sent",
			"2 changes are there twice",
		},
		1: {
			"what survived is no state of one instant: 1 changes are lost although later ones survived",
			"fork window: 1 changes that were acknowledged after the fault did not survive",
			"1 changes are there although they were rejected or never sent",
			"2 changes are there twice",
		},
	} {
		if got := lossFindings(one, version); !slices.Equal(got, want) {
			t.Errorf("definitions %d: got %q, want %q", version, got, want)
		}
	}
}
