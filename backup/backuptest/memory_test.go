package backuptest_test

import (
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
)

func TestMemory(t *testing.T) {
	backuptest.Conformance(t, func(*testing.T) backup.Location { return &backuptest.Memory{} })
}
