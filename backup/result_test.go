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
	source := gatewaytest.New(gatewaytest.Sample()...)
	source.Withhold(gateway.Key)
	copies, _ := backuptest.Copies()
	r, err := backup.Take(t.Context(), backup.Job{Source: source, Gateway: "test", Copies: copies, Keys: backuptest.NewKeys(t),
		Policy: backuptest.Policy(), Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if r.Complete() || r.Stored() != len(copies) || len(r.Unreachable) != 1 {
		t.Errorf("complete %v, stored %d, unreachable %v", r.Complete(), r.Stored(), r.Unreachable)
	}
}
