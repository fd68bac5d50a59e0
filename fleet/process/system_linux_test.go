package process

import (
	"bytes"
	"fmt"
	"testing"
)

func TestParseStat(t *testing.T) {
	line := "42 (a ) Z (b) %s 1 42 42 0 -1 4194304 97 0 0 0 0 0 0 0 20 0 1 0 123456 8 9\n"
	for state, ended := range map[string]bool{"S": false, "T": false, "R": false, "Z": true, "X": true} {
		start, over, err := parseStat(fmt.Appendf(nil, line, state))
		if err != nil || start != 123456 || over != ended {
			t.Errorf("state %s: start %d, ended %t, %v", state, start, over, err)
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
		if start, _, err := parseStat(stat); err == nil && !bytes.Contains(stat, []byte(fmt.Sprint(start))) {
			t.Logf("%q has start %d", stat, start) // leading zeros and signs are read as numbers are
		}
	})
}
