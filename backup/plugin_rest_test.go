package backup

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age/plugin"
)

// TestPluginRests: a plugin that did not answer is left alone for a while, and then called again; one that answers late is
// called again at once.
func TestPluginRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := (&keyReader{}).pluginCall("token")
		var calls atomic.Int64
		gate := make(chan struct{})
		call := func() error {
			_, err := c.call(func(*plugin.ClientUI) (wrapped, error) {
				calls.Add(1)
				<-gate
				return wrapped{}, nil
			})
			return err
		}
		want := func(when string, answers bool, called int64) {
			t.Helper()
			err := call()
			if answers != (err == nil) || err != nil && !strings.Contains(err.Error(), "did not answer") || calls.Load() != called {
				t.Errorf("%s: %v, called %d times, want %d", when, err, calls.Load(), called)
			}
		}
		want("stalled", false, 1)
		want("at once", false, 1)
		time.Sleep(pluginRest)
		want("after a rest", false, 2)
		time.Sleep(pluginRest)
		want("after a rest that is not long enough", false, 2)
		close(gate) // both that were left behind come back
		synctest.Wait()
		want("once it has answered", true, 3)
	})
}
