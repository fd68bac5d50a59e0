package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gwdr/gateway/admin"
	"gwdr/gateway/store"
)

// Who writes to a store that is full is told what to do, and may write again once it has made room, which nobody needs to ask for.
func TestFullStoreSaysSo(t *testing.T) {
	s := startAt(t, &admin.Server{}, store.Options{Dir: t.TempDir(), Quota: 8 << 20})
	refused := false
	for n := range 30 {
		path, body := "/v1/spec/"+fmt.Sprint(n%2), fmt.Sprintf("%d %s", n, strings.Repeat("x", 1<<20))
		status, answer := s.ask(t, "PUT", path, body)
		for deadline := time.Now().Add(20 * time.Second); status == 507 && time.Now().Before(deadline); status, answer = s.ask(t, "PUT", path, body) {
			refused = true
			if !strings.Contains(answer, `"code":"full"`) || !strings.Contains(answer, "try again") {
				t.Fatal(answer)
			}
			s.expect(t, 200, "", "GET", "/v1/spec/0", "")
		}
		if status != 200 && status != 201 {
			t.Fatalf("%d %s", status, answer)
		}
		s.expect(t, 200, fmt.Sprintf("%d xxx", n), "GET", path, "")
	}
	if !refused {
		t.Error("it was never full")
	}
}
