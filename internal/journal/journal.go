// Package journal keeps a record of facts that cannot be changed unnoticed: a line of JSON per entry, each naming the
// hash of the line before it.
package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Entry is one line of a journal. Seq counts from 1 without gaps. Prev is the lower-case hex SHA-256 of the raw bytes of
// the line before, without its newline; the first entry's is empty.
type Entry struct {
	Seq     int64           `json:"seq"`
	At      time.Time       `json:"at"`       // wall clock, UTC, for people
	OffsetS float64         `json:"offset_s"` // seconds of the drill's monotonic clock since t0
	Type    string          `json:"type"`
	Data    json.RawMessage `json:"data,omitempty"`
	Prev    string          `json:"prev"`
}

// Journal appends entries to a file. It is safe for concurrent use.
type Journal struct {
	mu   sync.Mutex
	file *os.File
	size int64 // of the entries
	seq  int64
	head string
	err  error // after it nothing may follow: the tail is unknown
}

// Create makes a new journal at path, readable by its owner only. The error wraps fs.ErrExist if there is a file.
func Create(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create journal: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("create journal: %w", err), f.Close())
	}
	return &Journal{file: f}, nil
}

// Open continues the journal at path, as a revert does after the drill was killed. It verifies the chain first and cuts
// off a torn tail, and returns the entries that are there. The error wraps ErrTampered if the chain does not hold.
func Open(path string) (*Journal, []Entry, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open journal: %w", err)
	}
	c, err := walk(f)
	if torn := (*TornError)(nil); errors.As(err, &torn) {
		err = cut(f, torn.Offset)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open journal: %w", err), f.Close())
	}
	return &Journal{file: f, size: c.size, seq: int64(len(c.entries)), head: c.head}, c.entries, nil
}

func cut(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	return f.Sync()
}

// Append writes an entry and returns when it is safe on disk. offset is the monotonic time since t0; data is anything
// that encoding/json can write, or nil. An entry that a full disk did not take is not there, and the next one may be. After any
// other error from the disk every further Append returns that error.
func (j *Journal) Append(kind string, offset time.Duration, data any) error {
	raw, err := encode(data)
	if err != nil {
		return fmt.Errorf("append %s to journal: %w", kind, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return j.err
	}
	entry := Entry{
		Seq: j.seq + 1, At: time.Now().UTC(), OffsetS: offset.Seconds(), Type: kind, Data: raw, Prev: j.head,
	}
	if err := j.write(entry); err != nil {
		err = fmt.Errorf("append %s to journal: %w", kind, err)
		if !isFull(err) || cut(j.file, j.size) != nil {
			j.err = err
		}
		return err
	}
	return nil
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

func encode(data any) (json.RawMessage, error) {
	if data == nil {
		return nil, nil
	}
	return json.Marshal(data)
}

func (j *Journal) write(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.seq, j.head, j.size = e.Seq, hash(line), j.size+int64(len(line))+1
	return nil
}

// Head returns the hash of the last line: what the next entry's Prev will be, and what a manifest must name so that
// entries cannot be cut off the end unnoticed. It is empty while there is no entry.
func (j *Journal) Head() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.head
}

// Close closes the file. Append fails from then on.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil {
		j.err = fmt.Errorf("append to journal: %w", os.ErrClosed)
	}
	return j.file.Close()
}

func hash(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
