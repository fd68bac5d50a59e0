package exec

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/fleet"
)

const (
	askFor    = 500 * time.Millisecond // how long an answer may take
	answerFor = 2 * time.Second        // how long a target that was reverted may take until it answers
)

// silences reports whether a target must not answer anybody during the fault, so that gwdr can see for itself.
func silences(kind fleet.FaultKind) bool {
	return kind == fleet.Kill || kind == fleet.Pause || kind == fleet.Stop
}

// answering returns at which of the URLs something answers, whatever it says.
func answering(ctx context.Context, urls []string) []string {
	client := &http.Client{
		Timeout: askFor, Transport: &http.Transport{DisableKeepAlives: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	answers := make([]bool, len(urls))
	var asking sync.WaitGroup
	for i, url := range urls {
		asking.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return
			}
			if resp, err := client.Do(req); err == nil {
				resp.Body.Close()
				answers[i] = true
			}
		})
	}
	asking.Wait()
	at := []string{}
	for i, url := range urls {
		if answers[i] {
			at = append(at, url)
		}
	}
	return at
}

// awaitAnswers waits until the targets answer where they did. If it takes longer, that is for the drill to see: verify and
// list have said that they are well.
func (f *Fleet) awaitAnswers(ctx context.Context, data undoData) {
	ctx, cancel := context.WithTimeout(ctx, answerFor)
	defer cancel()
	for {
		at := answering(ctx, data.Answers)
		if len(at) == len(data.Answers) {
			return
		}
		if sleep(ctx, 50*time.Millisecond) != nil {
			silent := slices.DeleteFunc(slices.Clone(data.Answers), func(url string) bool { return slices.Contains(at, url) })
			f.options.Log.Warn("does not answer yet", "url", strings.Join(silent, " "))
			return
		}
	}
}
