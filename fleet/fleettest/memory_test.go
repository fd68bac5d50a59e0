package fleettest

import (
	"testing"
	"time"

	"gwdr/fleet"
)

func TestMemory(t *testing.T) {
	var m *Memory
	Run(t, Suite{
		Open: func(*testing.T) fleet.Fleet {
			m = NewMemory(
				fleet.Instance{ID: "east-1", Region: "east", Role: fleet.Data},
				fleet.Instance{ID: "west-1", Region: "west", Role: fleet.Data},
			)
			return m
		},
		Reopen: func(*testing.T, fleet.Undo) fleet.Fleet { return m },
		Faults: map[fleet.FaultKind]Case{
			fleet.Kill:    {Selector: fleet.Selector{Region: "east"}},
			fleet.Pause:   {Selector: fleet.Selector{Region: "west"}},
			fleet.Latency: {Selector: fleet.Selector{Role: fleet.Data}, With: fleet.Params{Delay: time.Second}},
		},
	})
}
