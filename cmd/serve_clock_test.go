package cmd

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestWrongClock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clock")
	synctest.Test(t, func(t *testing.T) {
		now := (&serveOptions{clockFile: file}).clock()
		for _, test := range []struct {
			text string
			want time.Duration
		}{{"", 0}, {"5m\n", 5 * time.Minute}, {"-1h", -time.Hour}, {"noon", 0}} {
			if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			time.Sleep(clockAge)
			if got := now().Sub(time.Now()); got != test.want {
				t.Errorf("%q: wrong by %s, want %s", test.text, got, test.want)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		time.Sleep(clockAge)
		if got := now().Sub(time.Now()); got != 0 {
			t.Errorf("without the file: wrong by %s", got)
		}
	})
	if (&serveOptions{}).clock() != nil {
		t.Error("an ordinary gateway has a clock of its own")
	}
}
