package workers

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/fleet/proc"
)

// crew is one of shells that say that they are ready, and then wait for the end of their input.
type crew struct {
	*Crew
	t     *testing.T
	ready chan int // numbers
	ended chan error
}

// begin runs a crew of shells whose script is said, and ends it with the test: then no process is left.
func begin(t *testing.T, size int, script string) (*crew, context.CancelFunc) {
	t.Helper()
	c := &crew{t: t, ready: make(chan int, 100), ended: make(chan error, 1)}
	said := make([]chan string, size)
	c.Crew = &Crew{Size: size, Patience: 20 * time.Second, Pause: time.Millisecond, MaxPause: time.Hour, Log: slog.New(slog.DiscardHandler),
		Command: func(n int) *exec.Cmd {
			r, w := io.Pipe()
			cmd := exec.Command("/bin/sh", "-c", script, "worker", fmt.Sprint(n))
			cmd.Stdout = w
			said[n-1] = make(chan string, 1)
			to := said[n-1]
			go func() {
				line, _ := bufio.NewReader(r).ReadString('\n')
				to <- strings.TrimSpace(line)
				io.Copy(io.Discard, r)
			}()
			return cmd
		},
		Ready: func(ctx context.Context, n int) error {
			select {
			case <-said[n-1]:
				c.ready <- n
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
	ctx, stop := context.WithCancel(t.Context())
	go func() { c.ended <- c.Run(ctx) }()
	return c, stop
}

func (c *crew) until(what string, is func(all []Worker) bool) []Worker {
	c.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		all := c.Workers()
		if len(all) > 0 && is(all) {
			return all
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("never: %s: %+v", what, all)
		}
	}
}

func allReady(all []Worker) bool {
	return !slices.ContainsFunc(all, func(w Worker) bool { return !w.Ready })
}

const waits = `echo ready; read line`

// TestCrewKeepsItsSize: one that was killed is there again, others are left alone, and in the end none is left.
func TestCrewKeepsItsSize(t *testing.T) {
	c, stop := begin(t, 3, waits)
	before := c.until("all are ready", allReady)
	if err := syscall.Kill(before[1].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	after := c.until("the second is there again", func(all []Worker) bool { return allReady(all) && all[1].PID != before[1].PID })
	if after[1].Restarts != 1 || after[1].Ended != "signal: killed" {
		t.Errorf("the second: %+v", after[1])
	}
	if after[0].PID != before[0].PID || after[2].PID != before[2].PID {
		t.Errorf("others were touched: %+v, %+v", before, after)
	}
	stop()
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
	for _, w := range slices.Concat(before, after) {
		if id, err := proc.Identify(w.PID); err == nil && id.Alive() {
			t.Errorf("process %d is left", w.PID)
		}
	}
}

// TestRenew: each gets a successor, and none is counted as a failure.
func TestRenew(t *testing.T) {
	c, stop := begin(t, 2, waits)
	before := c.until("all are ready", allReady)
	if err := c.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	after := c.Workers()
	for i := range after {
		if !after[i].Ready || after[i].PID == before[i].PID || after[i].Restarts != 0 {
			t.Errorf("%+v after %+v", after[i], before[i])
		}
	}
	stop()
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
}

// TestFirstStartFails ends the others, too: it is a mistake in the command, most likely.
func TestFirstStartFails(t *testing.T) {
	c, stop := begin(t, 2, `[ $1 = 1 ] || exit 3; echo ready; read line`)
	defer stop()
	if err := <-c.ended; err == nil || err.Error() != "worker 2: it ended before it served: exit status 3" {
		t.Errorf("%v", err)
	}
}

// TestStubborn: one that does not end when it is asked to is killed.
func TestStubborn(t *testing.T) {
	c, stop := begin(t, 1, `trap '' TERM; echo ready; read line; read line < /dev/zero`)
	c.Patience = time.Millisecond
	before := c.until("it is ready", allReady)
	stop()
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
	if id, err := proc.Identify(before[0].PID); err == nil && id.Alive() {
		t.Errorf("process %d is left", before[0].PID)
	}
}
