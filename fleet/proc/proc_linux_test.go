package proc

import (
	"fmt"
	"testing"
)

func TestParseStat(t *testing.T) {
	for name, test := range map[string]struct {
		state   string
		threads int
		ended   bool
	}{
		"sleeping": {"S", 5, false}, "stopped": {"T", 5, false}, "running": {"R", 1, false},
		"zombie": {"Z", 1, true}, "dead": {"X", 0, true}, "zombie with a living thread": {"Z", 2, false},
	} {
		line := fmt.Appendf(nil, "42 (a ) Z (b) %s 1 42 42 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 %d 0 123456 8 9\n", test.state, test.threads)
		start, ended, err := parseStat(line)
		if err != nil || start != 123456 || ended != test.ended {
			t.Errorf("%s: start %d, ended %t, %v", name, start, ended, err)
		}
	}
	dying := "42 (a) Z 1 42 42 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 3 0 123456 8 9\n"
	if _, over, err := parseStat([]byte(dying)); over || err != nil {
		t.Errorf("two threads are left: ended %t, %v", over, err)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("42 (x) S 1 42 42 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 123456 8 9"))
	f.Add([]byte(""))
	f.Add([]byte(") ) )"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		start, ended, err := parseStat(stat)
		if err != nil && (start != 0 && ended) {
			t.Fatalf("%q is an error (%v) and yet says %d, %t", stat, err, start, ended)
		}
	})
}
