package lab

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkRestoreMillionKeys restores a gateway with 1,000,000 keys into a new one, from nothing to traffic that is served as
// it should be, and has another one serve it from the backup. It reports the most memory that each process had at a time.
// GWDR_BENCH_SPECS as in BenchmarkBackupRestore.
func BenchmarkRestoreMillionKeys(b *testing.B) {
	l := newLoss(b)
	l.addKeys(1_000_000 - benchKeys)
	l.end()
	figures := map[string][]float64{}
	note := func(name string, value float64) { figures[name] = append(figures[name], value) }
	for b.Loop() {
		begun := time.Now()
		g := l.serveFrom("from-backup", "--from-backup=all")
		l.check(g)
		note("s/from-backup", time.Since(begun).Seconds())
		l.over(g, note, "from-backup")

		begun = time.Now()
		g = l.serveFrom("restore")
		command := time.Now()
		peak := l.peakOf(l.command("restore", "--to", "gwdr+"+g.admin, "--yes", "-q"))
		note("s/restore-command", time.Since(command).Seconds())
		note("MB-peak/restore-command", peak)
		l.check(g)
		note("s/restore", time.Since(begun).Seconds())
		l.over(g, note, "restore")
	}
	report(b, figures)
}

// over notes the memory of the gateway in the directory, and ends it for good.
func (l *loss) over(g *glass, note func(name string, value float64), way string) {
	l.t.Helper()
	note("MB-peak/"+way, g.peakMB(l.t))
	g.stop()
	if err := os.RemoveAll(filepath.Join(l.home, way)); err != nil {
		l.t.Fatal(err)
	}
}

// peakOf runs the command, which has to succeed, and returns the most memory that it had, in MB. What Wait tells of that may be
// its parent's, from before the command was loaded.
func (u *user) peakOf(cmd *exec.Cmd) (peak float64) {
	u.t.Helper()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			if err != nil {
				u.t.Fatalf("%v: %v: %s", cmd.Args, err, errs.String())
			}
			return peak
		case <-time.After(5 * time.Millisecond):
			if now, ok := peakMB(cmd.Process.Pid); ok {
				peak = now
			}
		}
	}
}
