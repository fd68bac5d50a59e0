package drills

import (
	"os"
	"path/filepath"
	"testing"
)

// TestStopThatStays: whoever ends a drill lifts the block that it made, and never one that somebody else means to stay.
func TestStopThatStays(t *testing.T) {
	for name, c := range map[string]struct {
		stops   []bool // whether each is to stay, in their order
		touched bool   // by hand, before
		blocked bool   // after all of them were lifted that do not stay
	}{
		"none":                {},
		"passing":             {stops: []bool{false}},
		"two passing":         {stops: []bool{false, false}},
		"staying":             {stops: []bool{true}, blocked: true},
		"staying after other": {stops: []bool{false, true}, blocked: true},
		"passing after other": {stops: []bool{true, false}, blocked: true},
		"by hand":             {stops: []bool{false}, touched: true, blocked: true},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := filepath.Join(t.TempDir(), "evidence")
			if c.touched {
				touchStop(t, evidence)
			}
			for _, stay := range c.stops {
				if err := StopAll(evidence, stay); err != nil {
					t.Fatal(err)
				}
				if !stopped(evidence) {
					t.Fatal("drills are not stopped")
				}
			}
			blocked, err := LiftPassing(evidence)
			if err != nil || blocked != c.blocked || stopped(evidence) != c.blocked {
				t.Errorf("blocked %v, stopped %v, %v", blocked, stopped(evidence), err)
			}
			if there, err := Lift(evidence); err != nil || there != c.blocked || stopped(evidence) {
				t.Errorf("lifted %v, %v", there, err)
			}
		})
	}
}

func touchStop(t *testing.T, evidence string) {
	t.Helper()
	if err := os.MkdirAll(evidence, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(evidence, stopFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestStoppedWhereNobodyCanTell: a drill that cannot see whether it is to end, ends.
func TestStoppedWhereNobodyCanTell(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !stopped(filepath.Join(file, "evidence")) {
		t.Error("not stopped, in a directory that nobody can look into")
	}
}
