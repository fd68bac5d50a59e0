package proxy

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gwdr/gateway"
)

// keyCache has the keys that issuers last had, by where they are read: for a configuration in which an issuer is changed, and in a file
// beside the last good configuration for a process that starts while an issuer is gone.
type keyCache struct {
	file    string // empty: only in memory
	log     *slog.Logger
	sources sync.WaitGroup // that run, and put into it what they read

	mu   sync.Mutex
	sets map[string]*readKeys

	writing sync.Mutex // held for the file alone: a disk that hangs keeps nobody from the keys in memory
}

// newKeyCache returns what the file beside the last good configuration has. One that cannot be read is as good as none.
func newKeyCache(lastGood string, log *slog.Logger) *keyCache {
	c := &keyCache{log: log, sets: map[string]*readKeys{}}
	if lastGood == "" {
		return c
	}
	c.file = filepath.Join(filepath.Dir(lastGood), "jwks.json")
	if err := c.read(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("keys that issuers had cannot be read", "file", c.file, "error", err)
	}
	return c
}

func (c *keyCache) read() error {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return err
	}
	var sets map[string]*readKeys
	if err := json.Unmarshal(text, &sets); err != nil {
		return err
	}
	maps.DeleteFunc(sets, func(_ string, k *readKeys) bool {
		return k == nil || k.JWKS == nil || time.Since(k.At) > gateway.MaxKeyAge
	})
	maps.Copy(c.sets, sets)
	return nil
}

// get returns nil if there are none.
func (c *keyCache) get(place string) *readKeys {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sets[place]
}

func (c *keyCache) put(place string, k *readKeys) {
	c.mu.Lock()
	c.sets[place] = k
	c.mu.Unlock()
	if c.file == "" {
		return
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.write(); err != nil {
		c.log.Error("keys of issuers cannot be kept for the next start", "file", c.file, "error", err)
	}
}

func (c *keyCache) write() error {
	c.mu.Lock()
	text, err := json.Marshal(c.sets)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := writeSynced(c.file+".new", func(w io.Writer) error { _, err := w.Write(text); return err }); err != nil {
		return err
	}
	if err := os.Rename(c.file+".new", c.file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(c.file))
}
