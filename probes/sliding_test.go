package probes

import (
	"math"
	"testing"
)

// TestSlidingKeepsTheNewest even where foreign evidence has instants that cannot be subtracted from.
func TestSlidingKeepsTheNewest(t *testing.T) {
	w := sliding{length: stable}
	w.add(math.MinInt64, true)
	w.add(math.MinInt64+1, false)
	if n := len(w.marks); n == 0 || w.marks[n-1].ok {
		t.Errorf("%+v", w.marks)
	}
}
