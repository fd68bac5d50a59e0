package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/fleet/process"
)

// BenchmarkProbe runs gwdr probe as a whole, in this process: probers, control target, screen, evidence and judging. The target
// is a process of its own. An operation is an attempt of the kept-alive series; it reports what that could not send on time,
// how late it was sent, the worst millisecond of which it did not know in how long, and the processor time while it probed
// and judged.
//
//	go test -run '^$' -bench 'Probe$' -benchtime 100000x ./cmd
func BenchmarkProbe(b *testing.B) {
	for _, rate := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("%d per s", rate), func(b *testing.B) {
			url := "http://" + startEcho(b) + "/"
			length := time.Duration(b.N) * time.Second / time.Duration(rate)
			b.ReportAllocs()
			b.ResetTimer()
			before := processorTime(b)
			r := runWholeProbe(b, url, "--rate", fmt.Sprint(rate), "--for", length.String(),
				"--baseline", (length/4 + time.Millisecond).String(), "--stable-for", "10s")
			used := processorTime(b) - before
			b.StopTimer()
			b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%cpu")
			i := slices.IndexFunc(r.Series, func(s drills.WatchedSeries) bool { return !s.Fresh })
			q := r.Series[i].Requests
			b.ReportMetric(100*float64(q.Unknown)/float64(max(1, q.Sent+q.Unknown)), "%unknown")
			b.ReportMetric(100*float64(q.Failed)/float64(max(1, q.Sent+q.Unknown)), "%failed")
			b.ReportMetric(float64(lagOf(b, r, r.Series[i].Name).Microseconds()), "lag-p99-us")
		})
	}
}

// startEcho starts a server in a process of its own, and returns its address.
func startEcho(b *testing.B) string {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, targetProgram)
	out, err := c.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cancel(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// targetProgram is the name of the test binary where it is what is probed: an HTTP server that prints its address.
const targetProgram = "gwdrtest-target"

func serveTarget() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	panic(http.Serve(l, process.Echo()))
}

// runWholeProbe is the command line with its plain screen.
func runWholeProbe(b *testing.B, url string, args ...string) (r drills.WatchResult) {
	b.Helper()
	home := b.TempDir()
	var out bytes.Buffer
	env := func(name string) string {
		if name == "HOME" {
			return home
		}
		return ""
	}
	args = append([]string{"probe", url, "--json", "--evidence", home + "/evidence"}, args...)
	if code := run(args, invocation{stdin: bytes.NewReader(nil), stdout: &out, stderr: io.Discard, env: env}); code != exitDone {
		b.Fatalf("exit code %d: %s", code, out.String())
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		b.Fatal(err)
	}
	return r
}

// lagOf returns the p99 of how late the attempts of the series were sent.
func lagOf(b *testing.B, r drills.WatchResult, series string) time.Duration {
	b.Helper()
	facts, err := drills.ReadWatch(r.Evidence)
	if err != nil {
		b.Fatal(err)
	}
	late := []time.Duration{0}
	for i := range facts.Samples {
		if s := &facts.Samples[i]; s.Series == series {
			late = append(late, s.Sent-s.Due)
		}
	}
	slices.Sort(late)
	return late[len(late)*99/100]
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
