package process

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gwdr/fleet"
)

// savedConfig is what a control plane had before a fault of configuration. Keys among it are hashes, as they are stored.
type savedConfig struct {
	Kind     string            `json:"kind"`
	Bad      []byte            `json:"bad,omitempty"`     // what they were changed to; none: they were deleted
	Entities map[string][]byte `json:"entities"`          // bodies by id
	Revoked  []string          `json:"revoked,omitempty"` // ids of keys that were revoked then
}

// savedFile is a savedConfig on disk.
type savedFile struct {
	Schema string          `json:"schema"`
	SHA256 string          `json:"sha256"` // of Config
	Config json.RawMessage `json:"config"`
}

const savedSchema = "gwdr/lab-config/v1"

func (s *supervisor) configAside(c *child, f fleet.Fault) string {
	return filepath.Join(s.dir.node(c.ID), "config.before-"+f.ID+".json")
}

// setAsideConfig keeps what was there, on disk, before anything is changed.
func (s *supervisor) setAsideConfig(c *child, f fleet.Fault, saved savedConfig) error {
	config, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("set configuration aside: %w", err)
	}
	sum := sha256.Sum256(config)
	text, err := json.Marshal(savedFile{savedSchema, hex.EncodeToString(sum[:]), config})
	if err != nil {
		return fmt.Errorf("set configuration aside: %w", err)
	}
	path := s.configAside(c, f)
	if err := errors.Join(writeFile(path, text), syncDir(path), syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("set configuration aside: %w", err)
	}
	return nil
}

// savedConfig reads what was set aside. It is nil if nothing was.
func (s *supervisor) savedConfig(c *child, f fleet.Fault) (*savedConfig, error) {
	var file savedFile
	err := readJSON(s.configAside(c, f), &file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what was set aside: %w", err)
	}
	if sum := sha256.Sum256(file.Config); file.Schema != savedSchema || file.SHA256 != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("%s is not what was set aside", s.configAside(c, f))
	}
	saved := &savedConfig{}
	if err := json.Unmarshal(file.Config, saved); err != nil {
		return nil, fmt.Errorf("read what was set aside: %w", err)
	}
	return saved, nil
}

// dropSavedConfig removes what was set aside, once it is back.
func (s *supervisor) dropSavedConfig(c *child, f fleet.Fault) error {
	if err := os.Remove(s.configAside(c, f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("drop what was set aside: %w", err)
	}
	return nil
}
