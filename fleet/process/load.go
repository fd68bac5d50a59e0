package process

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"gwdr/fleet"
)

// loadFile is what a load process reads: whom to load, and how. It holds no secret.
type loadFile struct {
	Kind   fleet.FaultKind `json:"kind"`   // one of those of traffic
	Target string          `json:"target"` // host:port, on the loopback
	Host   string          `json:"host,omitempty"`
	Path   string          `json:"path"`
	Keys   string          `json:"keys"` // file with the tokens of the lab's keys
	Rate   int64           `json:"rate,omitempty"`
	Count  int64           `json:"count,omitempty"`
	Mode   string          `json:"mode,omitempty"`
	Lease  time.Duration   `json:"lease_ns"`
}

// RunLoad is the load that file describes. It ends with ctx, at the end of alive, and when nothing could be read from alive for as
// long as the lease: whoever started it is gone, or hangs.
func RunLoad(ctx context.Context, file string, alive io.Reader) error {
	var f loadFile
	if err := readJSON(file, &f); err != nil {
		return fmt.Errorf("run load: %w", err)
	}
	if err := f.validate(); err != nil {
		return fmt.Errorf("run load: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	expires := time.AfterFunc(f.Lease, cancel)
	defer expires.Stop()
	go func() {
		defer cancel()
		for beat := make([]byte, 64); ; expires.Reset(f.Lease) {
			if _, err := alive.Read(beat); err != nil {
				return
			}
		}
	}()
	if f.Kind == fleet.ConnectionFlood {
		f.flood(ctx)
		return nil
	}
	newStorm(f).run(ctx)
	return nil
}

// validate refuses a load that would leave this machine, or have no end.
func (f loadFile) validate() error {
	host, _, err := net.SplitHostPort(f.Target)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("target %q is not on the loopback", f.Target)
	}
	if f.Lease <= 0 {
		return fmt.Errorf("load of %s needs a lease", f.Target)
	}
	return refuseLoad(fleet.Fault{Kind: f.Kind, With: fleet.Params{Rate: f.Rate, Count: f.Count, Mode: f.Mode}})
}

// storm sends requests at a rate, whatever becomes of earlier ones.
type storm struct {
	loadFile
	key    string // bearer token; empty: none
	client *http.Client
	slots  chan struct{} // one for each client that waits for an answer
}

// How clients of a load behave.
const (
	loadPatience = 5 * time.Second      // with one request
	loadTick     = 5 * time.Millisecond // between two times at which requests are sent
	loadAtOnce   = 1000                 // clients that wait; when all do, no more requests are sent
)

func newStorm(f loadFile) *storm {
	s := &storm{loadFile: f, slots: make(chan struct{}, loadAtOnce)}
	s.client = &http.Client{
		Timeout: loadPatience, Transport: &http.Transport{MaxIdleConnsPerHost: loadAtOnce},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if text, err := os.ReadFile(f.Keys); err == nil { // a lab without keys answers 401, which is a load, too
		var keys map[string]string
		if json.Unmarshal(text, &keys) == nil {
			s.key = keys[liveKey]
		}
	}
	return s
}

// liveKey is the word for a key that is good, in the file with the tokens of the lab's keys.
const liveKey = "live"

// run sends what is due until ctx ends, and returns when nobody waits for an answer any more.
func (s *storm) run(ctx context.Context) {
	var clients sync.WaitGroup
	defer clients.Wait()
	start, sent := time.Now(), int64(0)
	for ctx.Err() == nil {
		for due := int64(time.Since(start).Seconds() * float64(s.Rate)); sent < due; sent++ {
			select {
			case s.slots <- struct{}{}:
				clients.Go(func() { s.send(ctx); <-s.slots })
			default: // not sent: this process has its bounds
			}
		}
		sleep(ctx, loadTick)
	}
}

// send is one client. In a storm it repeats what fails, at once.
func (s *storm) send(ctx context.Context) {
	again := int64(0)
	if s.Kind == fleet.RetryStorm {
		again = retriesOf(s.Count)
	}
	for try := int64(0); try <= again && ctx.Err() == nil && !s.once(ctx); try++ {
	}
}

// once reports whether a request was answered as it should be.
func (s *storm) once(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Target+s.Path, nil)
	if err != nil {
		return false
	}
	req.Host = s.Host
	if s.key != "" {
		req.Header.Set("Authorization", "Bearer "+s.key)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests
}

// retriesOf is how often clients in a storm repeat what fails: three times, as many libraries do, unless the fault says otherwise.
func retriesOf(count int64) int64 {
	if count == 0 {
		return 3
	}
	return count
}

// flood holds connections until ctx ends, and makes a new one for each that the other end closes.
func (f loadFile) flood(ctx context.Context) {
	var holding sync.WaitGroup
	defer holding.Wait()
	for range f.Count {
		holding.Go(func() {
			for ctx.Err() == nil {
				f.hold(ctx)
				sleep(ctx, floodPause)
			}
		})
	}
}

const (
	floodPause  = 100 * time.Millisecond // before a connection that was closed is made again
	floodHeader = time.Second            // between two bytes of a slow header
)

// hold makes a connection and returns when it has ended.
func (f loadFile) hold(ctx context.Context) {
	d := net.Dialer{Timeout: loadPatience}
	conn, err := d.DialContext(ctx, "tcp", f.Target)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if f.Mode == slowHeader {
		io.WriteString(conn, "GET "+f.Path+" HTTP/1.1\r\nX-Slow: ")
		go func() {
			for sleep(ctx, floodHeader); ctx.Err() == nil; sleep(ctx, floodHeader) {
				if _, err := io.WriteString(conn, "x"); err != nil {
					return
				}
			}
		}()
	}
	io.Copy(io.Discard, conn)
}

// slowHeader is the mode of a flood whose connections send a header that has no end.
const slowHeader = "slow-header"
