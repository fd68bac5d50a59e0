package backup

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"gwdr/gateway"
)

// maxRecord bounds the body of one entity, in bytes; gateways bound it lower.
const maxRecord = 256 << 20

// recordName is the name of an entity's record in a pack: <kind>/<id>.json, both escaped as in the path of a URL.
func recordName(r gateway.Ref) string {
	return url.PathEscape(string(r.Kind)) + "/" + url.PathEscape(r.ID) + ".json"
}

// parseRecordName reads what recordName returns, and nothing else: one entity has one name.
func parseRecordName(name string) (gateway.Ref, error) {
	kind, id, _ := strings.Cut(strings.TrimSuffix(name, ".json"), "/")
	k, err := url.PathUnescape(kind)
	if err != nil {
		return gateway.Ref{}, fmt.Errorf("read record name: %w", err)
	}
	i, err := url.PathUnescape(id)
	if err != nil {
		return gateway.Ref{}, fmt.Errorf("read record name: %w", err)
	}
	ref := gateway.Ref{Kind: gateway.Kind(k), ID: i}
	if k == "" || i == "" || recordName(ref) != name {
		return gateway.Ref{}, fmt.Errorf("read record name: %q is none", name)
	}
	return ref, nil
}

// sortedRecords returns the references with the names of their records, in the order of the names.
func sortedRecords(state *gateway.State) []record {
	records := make([]record, 0, state.Len())
	for _, ref := range state.Refs() {
		records = append(records, record{name: recordName(ref), ref: ref})
	}
	slices.SortFunc(records, func(a, b record) int { return strings.Compare(a.name, b.name) })
	return records
}

type record struct {
	name string
	ref  gateway.Ref
}

// writeRecords writes the state's entities as a tar to w.
func writeRecords(w io.Writer, state *gateway.State, records []record) error {
	t := tar.NewWriter(w)
	for _, r := range records {
		body, _ := state.Get(r.ref)
		if len(body) > maxRecord {
			return fmt.Errorf("write record %s: it has %d bytes, more than %d", r.name, len(body), maxRecord)
		}
		if err := t.WriteHeader(tarHeader(r.name, int64(len(body)))); err != nil {
			return fmt.Errorf("write record %s: %w", r.name, err)
		}
		if _, err := t.Write(body); err != nil {
			return fmt.Errorf("write record %s: %w", r.name, err)
		}
	}
	return t.Close()
}

// readRecords adds the entities of a tar to the state: exactly count of them, in order.
func readRecords(r io.Reader, count int, state *gateway.State) error {
	t := tar.NewReader(r)
	last := ""
	for range count {
		header, err := t.Next()
		if err != nil {
			return fmt.Errorf("read record: %w", unexpected(err))
		}
		if header.Name <= last {
			return fmt.Errorf("read record: %q comes after %q", header.Name, last)
		}
		last = header.Name
		entity, err := readRecord(t, header)
		if err != nil {
			return err
		}
		state.Put(entity)
	}
	if _, err := t.Next(); err != io.EOF {
		return errors.Join(errors.New("read record: there are more than the point says"), err)
	}
	return nil
}

func readRecord(t *tar.Reader, header *tar.Header) (gateway.Entity, error) {
	ref, err := parseRecordName(header.Name)
	if err != nil {
		return gateway.Entity{}, err
	}
	if header.Typeflag != tar.TypeReg || header.Size < 0 || header.Size > maxRecord {
		return gateway.Entity{}, fmt.Errorf("read record %s: it is no file, or too long", header.Name)
	}
	body, err := readSized(t, header.Size)
	if err != nil {
		return gateway.Entity{}, fmt.Errorf("read record %s: %w", header.Name, unexpected(err))
	}
	return gateway.Entity{Ref: ref, Body: body}, nil
}

// readSized reads size bytes. It trusts the size up to a point: what claims to be large must be there before memory is
// spent on it.
func readSized(r io.Reader, size int64) ([]byte, error) {
	if size > 1<<20 {
		body, err := io.ReadAll(io.LimitReader(r, size))
		if err == nil && int64(len(body)) < size {
			err = io.ErrUnexpectedEOF
		}
		return body, err
	}
	body := make([]byte, size)
	_, err := io.ReadFull(r, body)
	return body, err
}
