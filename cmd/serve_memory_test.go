package cmd

import "testing"

func TestGCPercent(t *testing.T) {
	for live, want := range map[uint64]int{
		0:         400,
		1 << 20:   400,
		32 << 20:  400, // of which 128 MiB are 400 percent
		64 << 20:  200,
		128 << 20: 100,
		256 << 20: 50,
		4 << 30:   50,
		1 << 63:   50,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("%d bytes stay: %d percent, want %d", live, got, want)
		}
	}
}
