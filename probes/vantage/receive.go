package vantage

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gwdr/probes"
)

// The time limits of a stream.
const (
	silence = 4 * time.Second // an agent says something each second
	again   = 250 * time.Millisecond
	goodbye = 5 * time.Second // beyond the attempts in flight
	maxLine = 1 << 20
)

// Sink takes what is heard of an agent. It is called from several goroutines at once.
type Sink interface {
	// Told takes samples, whose instants are since the agent's t0, in order and without a repetition. Every attempt that
	// ended before now was told.
	Told(samples []probes.Sample, now time.Duration)
	// Read takes a reading of the agent's clock, and how far that has drifted from the wall clock of its host.
	Read(e probes.Exchange, drift time.Duration)
	// Link says that the stream was cut, and why; nil says that it goes on.
	Link(cut error)
}

// errLost is wrapped by errors after which there is no way back to a session.
var errLost = errors.New("the session is lost")

// Run hands everything to the sink until ctx ends; then it makes the agent stop, and takes the rest, for no longer than the
// attempts in flight may take and a few seconds. A cut stream is taken up again where it was cut. It returns nil if the
// agent stopped because it was asked to and everything was taken that it still had; else an error says why no more comes,
// or why it is not known whether it was all. t0 is the start of our clock.
func (s *Session) Run(ctx context.Context, t0 time.Time, sink Sink) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer func() { cancel(); beside.Wait(); s.http.CloseIdleConnections() }()
	for _, r := range s.reads {
		sink.Read(r.exchange(t0), r.clock.Drift)
	}
	r := &receiver{Session: s, sink: sink, asked: ctx.Done()}
	beside.Go(func() { r.beats(running, t0) })
	beside.Go(func() {
		select {
		case <-ctx.Done():
			time.AfterFunc(s.drain+goodbye, cancel)
			if !r.dismiss(running) {
				cancel()
			}
		case <-running.Done():
		}
	})
	return r.receive(running)
}

// receiver is one Run of a Session.
type receiver struct {
	*Session
	sink  Sink
	asked <-chan struct{} // closed once the agent is to stop
	taken atomic.Int64    // samples
}

// receive takes streams until the session ends, or ctx.
func (r *receiver) receive(ctx context.Context) error {
	cut := errors.New("the agent was not reached")
	down := false
	for ctx.Err() == nil {
		end, err := r.stream(ctx, func() {
			if down {
				down = false
				r.sink.Link(nil)
			}
		})
		switch {
		case end == Stopped:
			return r.wasAsked()
		case end != "":
			return fmt.Errorf("the agent's session has ended: %s", end)
		case errors.Is(err, errLost):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("not all samples were fetched: %w", cut)
		}
		if cut = err; !down {
			down = true
			r.sink.Link(err)
		}
		pause(ctx, again)
	}
	return fmt.Errorf("not all samples were fetched: %w", cut)
}

// wasAsked returns an error unless it was here that the agent was asked to stop. Who else has the token can do that too, and
// then nobody probed from there on.
func (r *receiver) wasAsked() error {
	select {
	case <-r.asked:
		return nil
	default:
		return errors.New("the agent's session was stopped, though nobody here asked for it")
	}
}

// stream takes one stream to its end. alive is called with each line.
func (r *receiver) stream(ctx context.Context, alive func()) (End, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(silence, cancel)
	defer silent.Stop()
	response, err := r.send(ctx, http.MethodGet, r.path("/samples?from="+strconv.FormatInt(r.taken.Load(), 10)), nil)
	if err != nil {
		if refused := (*StatusError)(nil); errors.As(err, &refused) {
			return "", fmt.Errorf("%w: %w", errLost, err)
		}
		return "", err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		silent.Reset(silence)
		batch, err := decodeBatch(lines.Bytes(), r.series)
		if err != nil {
			return "", fmt.Errorf("%w: %w", errLost, err)
		}
		alive()
		r.take(batch)
		if batch.End != "" {
			return batch.End, nil
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return "", fmt.Errorf("%w: a line of the stream is longer than %d bytes", errLost, maxLine)
	} else if err != nil {
		return "", err
	}
	return "", errors.New("the stream ended too early")
}

// take hands on what of a batch is new. Where the agent had to drop samples, their indices are missing, and the sequence
// numbers of their series say so.
func (r *receiver) take(b Batch) {
	taken := r.taken.Load()
	known := min(max(taken-b.First, 0), int64(len(b.Samples)))
	r.sink.Told(b.Samples[known:], b.Now)
	r.taken.Store(max(taken, b.First+int64(len(b.Samples))))
}

// beats keeps the lease, acknowledges samples and reads the clock.
func (r *receiver) beats(ctx context.Context, t0 time.Time) {
	for pause(ctx, r.beatEvery()) {
		reading, err := r.read(ctx, r.taken.Load())
		if err != nil {
			continue // the stream tells whether the agent is gone
		}
		r.sink.Read(reading.exchange(t0), reading.clock.Drift)
	}
}

// dismiss makes the agent stop, and reports whether it was told.
func (r *receiver) dismiss(ctx context.Context) bool {
	for range 3 {
		limited, cancel := context.WithTimeout(ctx, beatLimit)
		err := r.ask(limited, http.MethodDelete, r.path(""), nil, nil)
		cancel()
		if err == nil {
			return true
		}
		pause(ctx, again)
	}
	return false
}

// pause waits, and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
