// Package reach is how fleets see, as a client does, whether something answers HTTP. A process that is stopped still accepts
// connections: only a request shows it.
package reach

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// patience is how long an answer may take.
const patience = 500 * time.Millisecond

// Answering returns at which of the places something answers, whatever it says, in their order; it is not nil. A place is a URL, or
// HOST:PORT for http. None answers after the end of ctx.
func Answering(ctx context.Context, places []string) []string {
	client := &http.Client{
		Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answers := make([]bool, len(places))
	var asking sync.WaitGroup
	for i, place := range places {
		asking.Go(func() { answers[i] = answersAt(ctx, client, place) })
	}
	asking.Wait()
	at := []string{}
	for i, place := range places {
		if answers[i] {
			at = append(at, place)
		}
	}
	return at
}

func answersAt(ctx context.Context, client *http.Client, place string) bool {
	if !strings.Contains(place, "://") {
		place = "http://" + place + "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, place, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

// Silent waits until something answers at each of the places, at most for so long, and returns those where nothing does.
func Silent(ctx context.Context, places []string, atMost time.Duration) []string {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for {
		at := Answering(ctx, places)
		if len(at) == len(places) {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return slices.DeleteFunc(slices.Clone(places), func(place string) bool { return slices.Contains(at, place) })
		}
	}
}
