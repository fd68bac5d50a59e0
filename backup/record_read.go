package backup

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"

	"gwdr/gateway"
)

// readRecords hands the entities of a tar to each: exactly count of them, in the order of their references.
func readRecords(r io.Reader, count int, each func(gateway.Entity) error) error {
	t := recordReader{r: r}
	var last gateway.Ref
	for i := range count {
		m, err := t.next()
		if err != nil {
			return fmt.Errorf("read record: %w", unexpected(err))
		}
		entity, err := t.read(m)
		if err != nil {
			return err
		}
		if i > 0 && entity.Ref.Compare(last) <= 0 {
			return fmt.Errorf("read record: %q comes after %q", entity.Ref, last)
		}
		last = entity.Ref
		if err := each(entity); err != nil {
			return err
		}
	}
	if _, err := t.next(); err != io.EOF {
		return errors.Join(errors.New("read record: there are more than the point says"), err)
	}
	return nil
}

// recordReader reads the members of a tar. From the first one that is not in the form of appendTarHeader's template, which
// may be the end, it leaves them to archive/tar, which takes several times as long.
type recordReader struct {
	r      io.Reader
	slow   *tar.Reader
	header [tarBlock]byte
	again  []byte // the header that the template gives
}

// member is a header of a tar.
type member struct {
	name string
	size int64
	file bool
}

// next returns the next member, whose body read must have read before. The error is io.EOF at the end.
func (t *recordReader) next() (member, error) {
	if t.slow == nil {
		n, err := io.ReadFull(t.r, t.header[:])
		if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
			return member{}, err
		}
		if m, ok := t.plain(); ok && n == tarBlock {
			return m, nil
		}
		t.slow = tar.NewReader(io.MultiReader(bytes.NewReader(t.header[:n]), t.r))
	}
	h, err := t.slow.Next()
	if err != nil {
		return member{}, err
	}
	return member{h.Name, h.Size, h.Typeflag == tar.TypeReg}, nil
}

// plain reads a header that is the template with its name, size and checksum, byte for byte.
func (t *recordReader) plain() (m member, ok bool) {
	end := bytes.IndexByte(t.header[:101], 0)
	if end < 1 {
		return m, false
	}
	m = member{name: string(t.header[:end]), file: true}
	for _, digit := range t.header[124:135] {
		if digit < '0' || digit > '7' {
			return m, false
		}
		m.size = m.size<<3 | int64(digit-'0')
	}
	var err error
	t.again, err = appendTarHeader(t.again[:0], m.name, m.size)
	return m, err == nil && bytes.Equal(t.again, t.header[:])
}

// read reads the member's body.
func (t *recordReader) read(m member) (gateway.Entity, error) {
	ref, err := parseRecordName(m.name)
	if err != nil {
		return gateway.Entity{}, err
	}
	if !m.file || m.size < 0 || m.size > maxRecord {
		return gateway.Entity{}, fmt.Errorf("read record %s: it is no file, or too long", m.name)
	}
	from := t.r
	if t.slow != nil {
		from = t.slow
	}
	body, err := readSized(from, m.size)
	if err == nil && t.slow == nil {
		_, err = io.ReadFull(t.r, t.header[:-m.size&(tarBlock-1)])
	}
	if err != nil {
		return gateway.Entity{}, fmt.Errorf("read record %s: %w", m.name, unexpected(err))
	}
	return gateway.Entity{Ref: ref, Body: body}, nil
}
