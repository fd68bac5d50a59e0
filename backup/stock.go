package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// stock is what a copy lists of a lineage, once it is asked for.
type stock struct {
	list  func() (map[string]int64, error) // sizes by full name
	added map[string]int64                 // since then
}

// add takes note of what was put since. A nil stock does not care.
func (st *stock) add(object string, size int64) {
	if st == nil {
		return
	}
	if st.added == nil {
		st.added = map[string]int64{}
	}
	st.added[object] = size
}

// hasLog wants the segments there that the point needs on top of its packs.
func (st *stock) hasLog(p Point) error {
	for seq := p.Base.Seq + 1; seq <= p.Log.Seq; seq++ {
		object := lineageRoot(p.Lineage) + segmentName(seq)
		if _, ok := st.added[object]; ok {
			continue
		}
		lacks, err := st.lacks(object)
		if err != nil {
			return err
		}
		if lacks {
			return fmt.Errorf("%w: %s", errLost, object)
		}
	}
	return nil
}

func newStock(ctx context.Context, c Copy, lineage string) *stock {
	return &stock{list: sync.OnceValues(func() (map[string]int64, error) {
		objects, err := c.Location.List(ctx, lineageRoot(lineage))
		if err != nil {
			return nil, err
		}
		sizes := map[string]int64{}
		for _, o := range objects {
			sizes[o.Name] = o.Size
		}
		return sizes, nil
	})}
}

// errLost is wrapped when something is missing at a copy that nobody else has either, or can give now.
var errLost = errors.New("it is missing here, and cannot be had from elsewhere")

// lacks reports whether the object is not there.
func (st *stock) lacks(object string) (bool, error) {
	objects, err := st.list()
	_, there := objects[object]
	return err == nil && !there, err
}

// revise returns what the spool knows of the copy, without what somebody took away since: segments after the anchor, and the
// files that a lineage has once.
func (st *stock) revise(p progressAt, lineage string, anchor int64) (progressAt, error) {
	if p == (progressAt{}) {
		return p, nil // it took nothing yet
	}
	objects, err := st.list()
	if err != nil {
		return p, err
	}
	root := lineageRoot(lineage)
	for _, name := range baseFiles() {
		_, there := objects[root+name]
		p.Files = p.Files && there
	}
	for seq := anchor + 1; seq <= p.Seq; seq++ {
		if _, there := objects[root+segmentName(seq)]; !there {
			p.Seq = seq - 1
		}
	}
	return p, nil
}
