package probes

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

// childOf names the environment variable that turns the test binary into a process of one kind: "record PATH", "probe URL",
// "starve URL" or "serve".
const childOf = "PROBES_TEST_CHILD"

// child starts the test binary as such a process and returns its lines of output.
func child(t testing.TB, what string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childOf+"="+what)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return c, bufio.NewScanner(out)
}

func runChild(what string) {
	kind, arg, _ := strings.Cut(what, " ")
	switch kind {
	case "record":
		recordForever(arg)
	case "probe":
		probeForever(arg)
	case "starve":
		runtime.GOMAXPROCS(1)
		go starve(time.Second, stall)
		probeForever(arg)
	case "serve":
		serveForever()
	}
}

// recordForever records numbered samples until it is killed, and prints the number of each that is safe.
func recordForever(path string) {
	r, err := CreateRecorder(path)
	if err != nil {
		panic(err)
	}
	for seq := int64(1); ; seq++ {
		if err := r.Append(Sample{Series: "orders", Seq: seq, Due: time.Duration(seq), Class: OK}); err != nil {
			panic(err)
		}
		if seq%7 == 0 {
			if err := r.Sync(); err != nil {
				panic(err)
			}
			fmt.Println(seq)
		}
	}
}

// probeForever probes a URL every 20 ms until it is killed, and prints each sample as JSON.
func probeForever(url string) {
	out := bufio.NewWriter(os.Stdout)
	p := Prober{
		Series: orders, Request: Request{URL: url}, T0: time.Now(),
		Out: func(s Sample) {
			fmt.Fprintln(out, string(mustJSON(s)))
			out.Flush()
		},
	}
	if err := p.Run(context.Background()); err != nil {
		panic(err)
	}
}

// stall is how long a prober is kept from running.
const stall = 2 * time.Second

// starve waits, then keeps the processor busy for so long that a goroutine gets its turn every half a second.
func starve(after, length time.Duration) {
	time.Sleep(after)
	for range 100 {
		go func() {
			for begin := time.Now(); time.Since(begin) < length; {
			}
		}()
	}
}

// serveForever prints its address and serves echo until it is killed.
func serveForever() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	panic(http.Serve(l, http.HandlerFunc(echo)))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
