package backup

import (
	"context"
	"errors"
	"sync"
)

// stock is what a copy lists of a lineage, once it is asked for.
type stock struct {
	list func() (map[string]int64, error) // sizes by full name
}

func newStock(ctx context.Context, c Copy, lineage string) *stock {
	return &stock{sync.OnceValues(func() (map[string]int64, error) {
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
