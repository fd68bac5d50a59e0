package drills

import "time"

// stream carries events to the screens. It never makes the drill wait: when the screens are slow, samples are dropped
// first, and everything else when even the reserve is used up. Whoever observes is not waited for either, as he must not
// block, and so misses nothing.
type stream[E any] struct {
	events  chan E
	done    chan struct{}
	observe func(E) // nil: nobody does
}

const streamSize = 4096

func newStream[E any](sink, observe func(E)) *stream[E] {
	s := &stream[E]{events: make(chan E, streamSize), done: make(chan struct{}), observe: observe}
	go func() {
		defer close(s.done)
		for e := range s.events {
			if sink != nil {
				sink(e)
			}
		}
	}()
	return s
}

// tell sends what a screen should not miss.
func (s *stream[E]) tell(e E) {
	s.show(e)
	s.send(e)
}

// show lets only the observer know.
func (s *stream[E]) show(e E) {
	if s.observe != nil {
		s.observe(e)
	}
}

func (s *stream[E]) send(e E) {
	select {
	case s.events <- e:
	default:
	}
}

// offer sends one of many.
func (s *stream[E]) offer(e E) {
	s.show(e)
	if len(s.events) < streamSize/2 {
		s.send(e)
	}
}

// close waits a little for the screens to see the last events. Nothing may be sent after it.
func (s *stream[E]) close() {
	close(s.events)
	select {
	case <-s.done:
	case <-time.After(time.Second):
	}
}
