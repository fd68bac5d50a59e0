package cmd

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// smallDisk has room for so many bytes.
type smallDisk struct {
	bytes.Buffer
	room int
}

func (d *smallDisk) Write(p []byte) (int, error) {
	n, _ := d.Buffer.Write(p[:min(d.room, len(p))])
	d.room -= n
	if n < len(p) {
		return n, errors.New("disk is full")
	}
	return n, nil
}

// A log that loses lines says so once a minute, and how many when it goes on, each on a line of its own.
func TestAccessLogThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var own bytes.Buffer
		disk := &smallDisk{room: 4}
		l := &lossy{Writer: &lines{Writer: disk}, file: "access", log: slog.New(slog.NewTextHandler(&own, nil)), total: prometheus.NewCounter(prometheus.CounterOpts{})}
		write := func(line string) { _, _ = l.Write([]byte(line + "\n")) }
		said := func(what string) int { return strings.Count(own.String(), what) }
		for _, line := range []string{"a", "bb", "c", "d"} {
			write(line)
		}
		if said("level=ERROR") != 1 || said("file=access") != 1 || said("disk is full") != 1 {
			t.Errorf("three lines were lost: %s", &own)
		}
		time.Sleep(time.Minute)
		write("e")
		if said("level=ERROR") != 2 {
			t.Errorf("a minute later: %s", &own)
		}
		disk.room = 3
		write("f")
		if said("written again") != 1 || said("lost=4") != 1 || disk.String() != "a\nbb\nf\n" {
			t.Errorf("there is room again: %s, written %q", &own, disk.String())
		}
		write("g") // within the minute
		if said("level=ERROR") != 2 {
			t.Errorf("it is told too often: %s", &own)
		}
		time.Sleep(time.Minute)
		disk.room = 3
		write("h")
		if said("lost=1") != 1 {
			t.Errorf("a line that nobody was told of: %s", &own)
		}
	})
}
