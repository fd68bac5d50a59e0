package gateway

import (
	"errors"
	"fmt"
	"slices"
)

// The values of Limit.OnLoss: what becomes of requests while it cannot be known how many others there were.
const (
	LossLocal = "local" // each data plane counts by itself
	LossAllow = "allow" // all pass
	LossDeny  = "deny"  // all are answered 503
)

// checkShared reports why data planes cannot count together like that.
func (l *Limit) checkShared() error {
	switch {
	case !slices.Contains([]string{"", LossLocal, LossAllow, LossDeny}, l.OnLoss):
		return fmt.Errorf("limit: on_loss must be %q, %q or %q, not %q", LossLocal, LossAllow, LossDeny, l.OnLoss)
	case l.OnLoss != "" && !l.Shared:
		return errors.New("limit: on_loss is for a limit that is shared")
	}
	return nil
}
