package probes

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ErrTorn is wrapped by errors that say the end of a record is missing, as after a kill -9: what came before it was read
// and is whole.
var ErrTorn = errors.New("record has a torn tail")

// maxRecordLine bounds a line of a record, maxWindow the memory that a foreign zstd frame may ask for. The lines of a record may
// take up denseFree bytes and denseTimes the size of the file: a few KB can hold millions of lines, but none that were measured,
// which take up a quarter of that.
const (
	maxRecordLine = 1 << 20
	maxWindow     = 8 << 20
	denseFree     = 64 << 20
	denseTimes    = 64
	lineRoom      = 128 // that a line takes up besides its text
)

// errDense says that a record would take up too much memory.
var errDense = fmt.Errorf("its lines take up more than %d MiB and %d times the size of the file, which nothing that gwdr recorded does",
	denseFree>>20, denseTimes)

// ReadSamples reads samples.jsonl.zst. With an error that wraps ErrTorn all that could be read is returned; any other error
// says that the record is damaged.
func ReadSamples(r io.Reader) ([]Sample, error) {
	texts := interned{}
	return readRecord(r, func(line []byte, s *Sample) error {
		if texts.parse(line, s) {
			return nil
		}
		*s = Sample{}
		if err := json.Unmarshal(line, s); err != nil {
			return err
		}
		s.Series, s.Class, s.Error = texts.one(s.Series), Class(texts.one(string(s.Class))), texts.one(s.Error)
		s.Instance, s.Region = texts.one(s.Instance), texts.one(s.Region)
		return nil
	})
}

// ReadEntries reads ledger.jsonl.zst as ReadSamples does.
func ReadEntries(r io.Reader) ([]Entry, error) { return readRecord(r, unmarshal[Entry]) }

// ReadObservations reads readback.jsonl.zst as ReadSamples does.
func ReadObservations(r io.Reader) ([]Observation, error) {
	return readRecord(r, unmarshal[Observation])
}

func unmarshal[T any](line []byte, v *T) error { return json.Unmarshal(line, v) }

// readRecord reads the lines, each by decode.
func readRecord[T any](r io.Reader, decode func(line []byte, v *T) error) ([]T, error) {
	var all []T
	if n := countLines(r); n > 0 {
		all = make([]T, 0, n)
	}
	lines, err := openLines(r)
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	defer lines.close()
	for lines.Scan() {
		all = append(all, *new(T)) // in its place: a copy of each would be garbage as large as the record
		n := len(all)
		if err := decode(lines.Bytes(), &all[n-1]); err != nil {
			return all[:n-1], fmt.Errorf("read record: line %d: %w", n, err)
		}
	}
	if err := lines.Err(); errors.Is(err, io.ErrUnexpectedEOF) {
		return all, fmt.Errorf("read record: %w", ErrTorn)
	} else if err != nil {
		return all, fmt.Errorf("read record: line %d: %w", len(all)+1, err)
	}
	return all, nil
}

// recordLines scans the lines of a record, for as long as they take up no more memory than the file may ask for.
type recordLines struct {
	*bufio.Scanner
	close func()
	file  counted
	taken int64 // by the lines
}

func openLines(r io.Reader) (*recordLines, error) {
	l := &recordLines{file: counted{Reader: r}}
	d, err := zstd.NewReader(&l.file, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	l.Scanner, l.close = bufio.NewScanner(d), d.Close
	l.Buffer(nil, maxRecordLine)
	l.Split(wholeLines)
	return l, nil
}

// Scan is false after the last line, and after the first that is one too many.
func (l *recordLines) Scan() bool {
	if l.dense() || !l.Scanner.Scan() {
		return false
	}
	l.taken += int64(len(l.Bytes())) + lineRoom
	return !l.dense()
}

func (l *recordLines) dense() bool { return l.taken > denseFree+denseTimes*l.file.n }

// Err returns errDense if there was one line too many.
func (l *recordLines) Err() error {
	if l.dense() {
		return errDense
	}
	return l.Scanner.Err()
}

// counted counts the bytes that were read.
type counted struct {
	io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

// maxCounted bounds the room that is made for lines that were only counted.
const maxCounted = 1 << 24

// countLines reads a file twice, for a slice of millions that grows by itself takes three times its room. It returns 0 for what
// cannot be read twice, and counts until the first error, which the second reading finds.
func countLines(r io.Reader) (n int) {
	again, ok := r.(io.Seeker)
	if !ok {
		return 0
	}
	start, err := again.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	if lines, err := openLines(r); err == nil {
		for n < maxCounted && lines.Scan() {
			n++
		}
		lines.close()
	}
	_, _ = again.Seek(start, io.SeekStart) // it could a moment ago; if not, there is nothing to read
	return n
}

// wholeLines splits at newlines and says that a last line without one is torn.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	advance, token, err := bufio.ScanLines(data, false)
	if atEOF && advance == 0 && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return advance, token, err
}
