package backup_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/backup"
)

func TestGenerateKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "keys")
	files, err := backup.GenerateKeys(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"identity", "escrow", "sign", "sign.pub", "allowed_signers"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want mode 0600", name, info, err)
		}
	}
	if _, err := backup.GenerateKeys(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("GenerateKeys again = %v, want fs.ErrExist", err)
	}
	h := newHouse(t, someEntities()...)
	if h.job.Keys, err = backup.ReadKeys(files); err != nil {
		t.Fatal(err)
	}
	h.take(t)
	found := h.find(t)[0]
	if len(found.Recipients) != 2 {
		t.Errorf("point has the recipients %v, want two", found.Recipients)
	}
	h.load(t, found)
	escrow, err := backup.ReadKeys(backup.KeyFiles{Identities: []string{backup.EscrowFile(dir)}, Trusted: files.Trusted})
	if err != nil {
		t.Fatal(err)
	}
	h.job.Keys = escrow
	h.load(t, h.find(t)[0])
}

func TestReadKeysRefuses(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("AGE-SECRET-KEY-no"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, files := range map[string]backup.KeyFiles{
		"missing":          {Identities: []string{filepath.Join(dir, "missing")}},
		"no identity":      {Identities: []string{text}},
		"no signing key":   {Signing: text},
		"no trusted":       {Trusted: text},
		"no recipient":     {Recipients: []string{"age1x"}},
		"hybrid recipient": {Recipients: []string{"age1pq1x"}},
		"secret as public": {Recipients: []string{"AGE-SECRET-KEY-1X"}},
		"directory for id": {Identities: []string{dir}},
	} {
		if _, err := backup.ReadKeys(files); err == nil {
			t.Errorf("%s: keys were read", name)
		} else if strings.Contains(err.Error(), "AGE-SECRET-KEY-no") {
			t.Errorf("%s: error shows the key: %v", name, err)
		}
	}
}
