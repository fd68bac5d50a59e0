package probes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// flushEvery bounds what a kill -9 can take from a Recorder, in time; flushSize in bytes.
const (
	flushEvery = time.Second
	flushSize  = 64 << 10
)

// Recorder writes lines of JSON to a zstd file. Each flush, at least one a second, adds a frame of its own that holds whole
// lines, so that what was flushed stays readable whatever happens next. It is safe for concurrent use.
type Recorder struct {
	mu     sync.Mutex
	file   *os.File
	zstd   *zstd.Encoder
	lines  []byte
	frame  []byte
	size   int64 // of the whole frames
	err    error // the first; nothing is written after it
	done   chan struct{}
	ticker sync.WaitGroup
}

// CreateRecorder makes a new file at path, readable by its owner only. The error wraps fs.ErrExist if there is one.
func CreateRecorder(path string) (*Recorder, error) {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, fmt.Errorf("create recorder: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create recorder: %w", err)
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("create recorder: %w", errors.Join(err, f.Close()))
	}
	r := &Recorder{file: f, zstd: encoder, done: make(chan struct{})}
	r.ticker.Go(r.flushRegularly)
	return r, nil
}

// syncDir makes the names in a directory safe: without them, what is synced into a new file is nowhere after a power cut.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Append adds v as a line. It is on disk at the latest a second later, unless the returned error says that writing failed,
// now or before.
func (r *Recorder) Append(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("record: %w", err)
	}
	_, err = r.Write(append(line, '\n'))
	return err
}

// Write adds whole lines that are JSON already.
func (r *Recorder) Write(lines []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	r.lines = append(r.lines, lines...)
	if len(r.lines) >= flushSize {
		r.flush()
	}
	return len(lines), r.err
}

// Sync returns when all lines are safe on disk.
func (r *Recorder) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flush()
	if r.err == nil {
		r.fail(r.file.Sync())
	}
	return r.err
}

// Close syncs and closes the file. Later lines are lost with an error.
func (r *Recorder) Close() error {
	err := r.Sync()
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.done:
		return err
	default:
	}
	close(r.done)
	r.fail(os.ErrClosed)
	return errors.Join(err, r.file.Close(), r.zstd.Close())
}

func (r *Recorder) flushRegularly() {
	t := time.NewTicker(flushEvery)
	defer t.Stop()
	for {
		select {
		case <-r.done:
			return
		case <-t.C:
			r.mu.Lock()
			r.flush()
			r.mu.Unlock()
		}
	}
}

// flush writes the pending lines as a frame, all of it or nothing: what was written before a disk was full stays whole.
func (r *Recorder) flush() {
	if r.err != nil || len(r.lines) == 0 {
		return
	}
	r.frame = r.zstd.EncodeAll(r.lines, r.frame[:0])
	r.lines = r.lines[:0]
	n, err := r.file.Write(r.frame)
	if err != nil {
		r.fail(errors.Join(err, r.file.Truncate(r.size)))
		return
	}
	r.size += int64(n)
}

func (r *Recorder) fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("record: %w", err)
	}
}
