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
func ReadSamples(r io.Reader) ([]Sample, error) { return readRecord[Sample](r) }

// ReadEntries reads ledger.jsonl.zst as ReadSamples does.
func ReadEntries(r io.Reader) ([]Entry, error) { return readRecord[Entry](r) }

// ReadObservations reads readback.jsonl.zst as ReadSamples does.
func ReadObservations(r io.Reader) ([]Observation, error) { return readRecord[Observation](r) }

func readRecord[T any](r io.Reader) ([]T, error) {
	d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, fmt.Errorf("read record: %w", err)
	}
	defer d.Close()
	var all []T
	lines := bufio.NewScanner(d)
	lines.Buffer(nil, maxRecordLine)
	lines.Split(wholeLines)
	for lines.Scan() {
		var v T
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			return all, fmt.Errorf("read record: line %d: %w", len(all)+1, err)
		}
		all = append(all, v)
	}
	if err := lines.Err(); errors.Is(err, io.ErrUnexpectedEOF) {
		return all, fmt.Errorf("read record: %w", ErrTorn)
	} else if err != nil {
		return all, fmt.Errorf("read record: line %d: %w", len(all)+1, err)
	}
	return all, nil
}

// wholeLines splits at newlines and says that a last line without one is torn.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	advance, token, err := bufio.ScanLines(data, false)
	if atEOF && advance == 0 && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return advance, token, err
}
