package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// layout names what lies in a lab's directory.
type layout string

func (d layout) lock() string           { return filepath.Join(string(d), "lock") }          // held by the supervisor
func (d layout) lab() string            { return filepath.Join(string(d), "lab.json") }      // labFile, while the lab is up
func (d layout) tokens() string         { return filepath.Join(string(d), "tokens") }        // role:token of the admin APIs
func (d layout) replicaToken() string   { return filepath.Join(string(d), "replica-token") } // what data planes and followers present
func (d layout) links() string          { return filepath.Join(string(d), "links.json") }    // linksFile
func (d layout) echo() string           { return filepath.Join(string(d), "echo.json") }     // echoFile
func (d layout) keys() string           { return filepath.Join(string(d), "keys.json") }     // tokens of seeded keys
func (d layout) nodes() string          { return filepath.Join(string(d), "nodes") }
func (d layout) node(id string) string  { return filepath.Join(d.nodes(), id) } // data directory of a process
func (d layout) pid(id string) string   { return filepath.Join(d.node(id), "pid.json") }
func (d layout) clock(id string) string { return filepath.Join(d.node(id), "clock") } // by how much its clock is wrong, if it is
func (d layout) logs() string           { return filepath.Join(string(d), "log") }
func (d layout) log(id string) string   { return filepath.Join(d.logs(), id+".log") }
func (d layout) locations() string      { return filepath.Join(string(d), "locations") } // outlives the lab

// labFile is lab.json: what a client needs to find a running lab. It holds secrets.
type labFile struct {
	Schema     string `json:"schema"`
	identity          // of the supervisor
	Control    string `json:"control"`     // URL of the supervisor's API
	Token      string `json:"token"`       // for it
	AdminToken string `json:"admin_token"` // for the gateways' admin APIs
	LinksToken string `json:"links_token"`
	Owned      bool   `json:"owned"`
	endpoints
	Topology Topology  `json:"topology"`
	Started  time.Time `json:"started"`
	Ready    float64   `json:"ready_s"` // how long the start took
}

const labSchema = "gwdr/lab/v1"

// make creates the directories that must be there before the supervisor starts.
func (d layout) make() error {
	for _, dir := range []string{string(d), d.logs(), d.locations()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create lab directory: %w", err)
		}
	}
	if err := os.Chmod(string(d), 0o700); err != nil {
		return fmt.Errorf("protect lab directory: %w", err)
	}
	return nil
}

// sweep removes what a lab leaves behind, and ends processes of it that still run. The caller holds the lock, so no
// supervisor lives. It reports whether there was anything.
func (d layout) sweep() (found bool, err error) {
	pids, err := filepath.Glob(d.pid("*"))
	if err != nil {
		return false, fmt.Errorf("sweep lab: %w", err)
	}
	for _, file := range pids {
		var id identity
		if readJSON(file, &id) == nil && id.Alive() {
			found = true
			if err := id.Kill(); err != nil {
				return found, fmt.Errorf("sweep lab: end process %d of an earlier lab: %w", id.PID, err)
			}
		}
	}
	for _, path := range []string{d.lab(), d.tokens(), d.replicaToken(), d.links(), d.echo(), d.keys(), d.nodes()} {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		if err := os.RemoveAll(path); err != nil {
			return found, fmt.Errorf("sweep lab: %w", err)
		}
	}
	mended, err := d.mendPlaces()
	if err != nil {
		err = fmt.Errorf("sweep lab: %w", err)
	}
	return found || mended, err
}

// clearLogs empties the logs of an earlier lab; it removes nothing that somebody may be reading.
func (d layout) clearLogs() error {
	logs, err := filepath.Glob(d.log("*"))
	for _, log := range slices.DeleteFunc(logs, func(l string) bool { return l == d.log(supervisorID) }) {
		err = errors.Join(err, os.Truncate(log, 0))
	}
	if err != nil {
		return fmt.Errorf("clear logs: %w", err)
	}
	return nil
}

// writeJSON replaces the file at once, readable for its owner only.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return writeFile(path, append(text, '\n'))
}

func writeFile(path string, content []byte) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, content, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return nil
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
