package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// delivery is what one copy came to in one backup.
type delivery struct {
	answer[delivered]
}

// delivered is what a copy took. A copy that was left behind came to nothing.
type delivered struct {
	bytes        int64 // of the newest point and its packs
	earlier      int   // points of earlier backups that this copy lacked
	capabilities Capabilities
	domain       string
	note         string // why the location's promises could not be tested
	ok           bool   // the newest point is there
}

// deliver puts the points, newest first, to all copies at once.
func (j *Job) deliver(ctx context.Context, points []*pendingPoint) []delivery {
	if len(points) == 0 {
		return nil
	}
	var total int64
	for _, p := range points {
		total += p.Size()
	}
	answers := onEach(ctx, j.Copies, allowance(j.Patience, total), func(ctx context.Context, c Copy) (delivered, error) {
		return j.deliverTo(ctx, c, points)
	})
	deliveries := make([]delivery, len(answers))
	for i, a := range answers {
		deliveries[i] = delivery{a}
	}
	return deliveries
}

func (j *Job) deliverTo(ctx context.Context, c Copy, points []*pendingPoint) (d delivered, err error) {
	for i, p := range points {
		if p.delivered(c) {
			d.ok = d.ok || i == 0
			continue
		}
		n, err := j.put(ctx, c, p)
		if err != nil {
			return d, err
		}
		if err := writeFileSync(p.marker(c), nil); err != nil {
			return d, fmt.Errorf("mark point in spool: %w", err)
		}
		if i == 0 {
			d.ok, d.bytes = true, n
		} else {
			d.earlier++
		}
	}
	d.probe(ctx, c)
	return d, nil
}

// probe tests what the location promises.
func (d *delivered) probe(ctx context.Context, c Copy) {
	prober, ok := c.Location.(Prober)
	if !ok {
		d.note = "location cannot be probed"
		return
	}
	var err, domainErr error
	d.capabilities, err = prober.Probe(ctx)
	d.domain, domainErr = prober.Domain(ctx)
	if err = errors.Join(err, domainErr); err != nil {
		d.note = "probe failed: " + err.Error()
	}
}

// put puts one point with all it needs: the lineage's own objects, the packs, and last the point, which commits them.
func (j *Job) put(ctx context.Context, c Copy, p *pendingPoint) (int64, error) {
	dir := spool{j.Spool}.lineageDir(p.Lineage)
	for _, name := range baseFiles() {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return 0, err
		}
		err = c.Location.Put(ctx, lineageRoot(p.Lineage)+name, bytes.NewReader(content), int64(len(content)))
		if errors.Is(err, ErrExists) { // from another writer of this lineage; no snapshot depends on it
			j.Log.Warn("location has another version", "location", c.Name, "object", name)
			continue
		}
		if err != nil {
			return 0, err
		}
	}
	sent := int64(0)
	for _, pack := range p.Packs {
		err := j.putFile(ctx, c, p.PackObject(pack), filepath.Join(p.dir, pack.SHA256), pack.Size)
		if err != nil {
			return sent, err
		}
		sent += pack.Size
	}
	n := int64(len(p.object))
	return sent + n, c.Location.Put(ctx, p.Object(), bytes.NewReader(p.object), n)
}

func (j *Job) putFile(ctx context.Context, c Copy, object, path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	body := &progressReader{ReadSeeker: f, report: func(n int64) {
		j.Progress(Progress{Phase: "put", Location: c.Name, Done: n, Total: size})
	}}
	return c.Location.Put(ctx, object, body, size)
}

// progressReader reports the position after each read.
type progressReader struct {
	io.ReadSeeker
	at     int64
	report func(int64)
}

func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	r.at += int64(n)
	r.report(r.at)
	return n, err
}

func (r *progressReader) Seek(offset int64, whence int) (int64, error) {
	at, err := r.ReadSeeker.Seek(offset, whence)
	r.at = at
	return at, err
}
