package backup_test

import (
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// TestKindNotGiven: a snapshot without a kind that the gateway withheld is stored, and never called complete.
func TestKindNotGiven(t *testing.T) {
	for _, withheld := range [][]gateway.Kind{nil, {gateway.Key}} {
		source := gatewaytest.New(gatewaytest.Sample()...)
		source.Withhold(withheld...)
		copies, _ := backuptest.Copies()
		r, err := backup.Take(t.Context(), backup.Job{Source: source, Gateway: "test", Copies: copies, Keys: backuptest.NewKeys(t),
			Policy: backuptest.Policy(), Spool: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Complete() != (withheld == nil) || r.Stored() != len(copies) || len(r.Unreachable) != len(withheld) {
			t.Errorf("%v withheld: complete %v, stored %d, unreachable %v", withheld, r.Complete(), r.Stored(), r.Unreachable)
		}
	}
}
