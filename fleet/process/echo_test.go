package process

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const echoToken = "a token of this test"

// tell makes a request to the echo's control API and returns the status of the answer.
func tell(e *troubledEcho, method, id, token, body string) int {
	r := httptest.NewRequest(method, echoTroubles+id, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Code
}

func statusOfEcho(e *troubledEcho, path string) int {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code
}

func TestEchoHealsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTroubledEcho(Echo(), echoToken)
		if got := tell(e, http.MethodPut, "a", echoToken, `{"share":1,"status":503,"lease_ns":5000000000}`); got != http.StatusOK {
			t.Fatalf("told: %d", got)
		}
		for path, want := range map[string]int{"/orders": 503, "/": 503, echoReady: 200, echoControl: 200, echoControl + "/": 200} {
			if got := statusOfEcho(e, path); got != want {
				t.Errorf("%s in trouble: %d, want %d", path, got, want)
			}
		}
		time.Sleep(5 * time.Second)
		if got := statusOfEcho(e, "/orders"); got != http.StatusOK || len(e.troubles) > 0 {
			t.Errorf("after the lease: %d, troubles %v", got, e.troubles)
		}
	})
}

func TestEchoIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newTroubledEcho(Echo(), echoToken)
		tell(e, http.MethodPut, "slow", echoToken, `{"share":1,"delay_ns":2000000000,"lease_ns":60000000000}`)
		tell(e, http.MethodPut, "wrong", echoToken, `{"share":1,"status":500,"lease_ns":60000000000}`)
		start := time.Now()
		if got, took := statusOfEcho(e, "/"), time.Since(start); got != 500 || took != 2*time.Second {
			t.Errorf("both troubles: %d after %s", got, took)
		}
		tell(e, http.MethodDelete, "wrong", echoToken, "")
		tell(e, http.MethodDelete, "slow", echoToken, "")
		start = time.Now()
		if got, took := statusOfEcho(e, "/"), time.Since(start); got != 200 || took != 0 {
			t.Errorf("none left: %d after %s", got, took)
		}
	})
}

func TestEchoHitsAShare(t *testing.T) {
	e := newTroubledEcho(Echo(), echoToken)
	tell(e, http.MethodPut, "a", echoToken, `{"share":0.25,"status":503,"lease_ns":60000000000}`)
	for random, want := range map[float64]int{0: 503, 0.2499: 503, 0.25: 0, 0.9999: 0} {
		if got, _ := e.fate(time.Now(), func() float64 { return random }); got != want {
			t.Errorf("random %v: status %d, want %d", random, got, want)
		}
	}
}

func TestEchoRefuses(t *testing.T) {
	e := newTroubledEcho(Echo(), echoToken)
	const good = `{"share":1,"status":503,"lease_ns":1}`
	for name, test := range map[string]struct {
		id, token, body string
		want            int
	}{
		"a stranger":     {"a", "wrong", good, 401},
		"nobody's token": {"a", "", good, 401},
		"no lease":       {"a", echoToken, `{"share":1,"status":503}`, 400},
		"no share":       {"a", echoToken, `{"status":503,"lease_ns":1}`, 400},
		"nothing":        {"a", echoToken, `{"share":1,"lease_ns":1}`, 400},
		"a success":      {"a", echoToken, `{"share":1,"status":200,"lease_ns":1}`, 400},
		"an odd id":      {"A.b", echoToken, good, 400},
		"a new field":    {"a", echoToken, `{"share":1,"status":503,"lease_ns":1,"x":1}`, 400},
	} {
		if got := tell(e, http.MethodPut, test.id, test.token, test.body); got != test.want {
			t.Errorf("%s: %d, want %d", name, got, test.want)
		}
	}
	if len(e.troubles) > 0 {
		t.Errorf("troubles: %v", e.troubles)
	}
	if got := tell(newTroubledEcho(Echo(), ""), http.MethodPut, "a", "", good); got != http.StatusUnauthorized {
		t.Errorf("an echo without a token of its own obeys anybody: %d", got)
	}
}

func FuzzTrouble(f *testing.F) {
	for _, body := range []string{`{"share":1,"status":503,"lease_ns":1}`, `{"share":1e-9,"delay_ns":-1,"lease_ns":1}`, `null`, `[`, `{"share":"NaN"}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e := newTroubledEcho(Echo(), echoToken)
		tell(e, http.MethodPut, "a", echoToken, string(body))
		for _, held := range e.troubles {
			if err := held.validate(); err != nil {
				t.Fatalf("%q was taken: %v", body, err)
			}
		}
	})
}

func TestLooksAreSeldomWrong(t *testing.T) {
	for share, want := range map[float64][2]int{1: {20, 20}, 0.5: {120, 20}, 0.01: {6000, 20}, 0.001: {20_000, 6}} {
		if asked, least := looks(share); asked != want[0] || least != want[1] {
			t.Errorf("share %v: %d of %d, want %d of %d", share, least, asked, want[1], want[0])
		}
	}
}
