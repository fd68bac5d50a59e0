package drills

import "time"

// stream carries events to the screens. It never makes the drill wait: when the screens are slow, samples are dropped
// first, and everything else when even the reserve is used up.
type stream[E any] struct {
	events chan E
	done   chan struct{}
}

const streamSize = 4096

func newStream[E any](sink func(E)) *stream[E] {
	s := &stream[E]{events: make(chan E, streamSize), done: make(chan struct{})}
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
	select {
	case s.events <- e:
	default:
	}
}

// offer sends one of many.
func (s *stream[E]) offer(e E) {
	if len(s.events) < streamSize/2 {
		s.tell(e)
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
