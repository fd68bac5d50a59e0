package admin

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

// Who asks for it hears that its changes are worked on, and the answer all the same.
func TestProcessing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, asks := range []string{"", "true"} {
			w := httptest.NewRecorder()
			said := &statuses{ResponseWriter: w}
			r := httptest.NewRequest(http.MethodPost, "/v1/apply", nil)
			r.Header.Set("X-Gwdr-Processing", asks)
			stop := processing(said, r)
			time.Sleep(processingEvery*3 + time.Second)
			stop()
			if want := map[string]int{"": 0, "true": 3}[asks]; len(said.all) != want {
				t.Errorf("asked %q: %v", asks, said.all)
			}
		}
	})
}

// statuses notes what is written.
type statuses struct {
	http.ResponseWriter
	all []int
}

func (s *statuses) WriteHeader(status int) { s.all = append(s.all, status) }
