package backuptest

import (
	"context"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// changeable lets the suite of gateways change a Source.
type changeable struct{ *Source }

func (c changeable) Apply(ctx context.Context, changes []gateway.Change) error {
	for _, change := range changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if change.Op == gateway.Delete {
			c.Delete(change.Entity.Ref)
		} else {
			c.Put(change.Entity)
		}
	}
	return nil
}

func (c changeable) Forget() error {
	c.Compact()
	return nil
}

func TestSourceIsAGateway(t *testing.T) {
	gatewaytest.TestAbilities(t, func(*testing.T) gateway.Target { return changeable{NewSource("store")} })
}
