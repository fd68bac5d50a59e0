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

// maxRecordLine bounds a line of a record, maxWindow the memory that a foreign zstd frame may ask for.
const (
	maxRecordLine = 1 << 20
	maxWindow     = 8 << 20
)

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
	lines, end, err := recordLines(r)
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	defer end()
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

func recordLines(r io.Reader) (lines *bufio.Scanner, end func(), err error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, nil, err
	}
	lines = bufio.NewScanner(d)
	lines.Buffer(nil, maxRecordLine)
	lines.Split(wholeLines)
	return lines, d.Close, nil
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
	if lines, end, err := recordLines(r); err == nil {
		for n < maxCounted && lines.Scan() {
			n++
		}
		end()
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
