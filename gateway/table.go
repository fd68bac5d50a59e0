package gateway

import (
	"iter"
	"maps"
	"slices"
)

// table holds the entities of one kind. Beyond a few they are in shards, so that a table that is shared with others is not copied
// for one change: that takes a shard alone. A nil table is an empty one, to read from.
type table struct {
	own    *edition
	count  int
	shards []shard
}

type shard struct {
	own    *edition
	bodies map[string][]byte
}

// edition marks the tables and shards that one State alone has, and may write to.
type edition struct{ _ byte }

const (
	fewEntities = 4096
	shardBits   = 10
)

// at returns the shard of the id.
func (t *table) at(id string) *shard {
	if len(t.shards) == 1 {
		return &t.shards[0]
	}
	hash := uint32(2166136261) // FNV-1a; ids that were chosen to collide cost whoever may write them a scan of their own
	for i := range len(id) {
		hash = (hash ^ uint32(id[i])) * 16777619
	}
	return &t.shards[(hash^hash>>16)%(1<<shardBits)]
}

func (t *table) get(id string) (body []byte, ok bool) {
	if t == nil {
		return nil, false
	}
	body, ok = t.at(id).bodies[id]
	return body, ok
}

// owned returns the table if it belongs to the edition, or a copy that does.
func (t *table) owned(own *edition) *table {
	switch {
	case t == nil:
		return &table{own: own, shards: []shard{{own, map[string][]byte{}}}}
	case t.own == own:
		return t
	}
	return &table{own: own, count: t.count, shards: slices.Clone(t.shards)}
}

// put reports whether the entity is new. The table is its writer's own.
func (t *table) put(id string, body []byte) (created bool) {
	s := t.writable(id)
	_, there := s.bodies[id]
	s.bodies[id] = body
	if there {
		return false
	}
	if t.count++; t.count > fewEntities && len(t.shards) == 1 {
		t.split()
	}
	return true
}

// delete removes what is there.
func (t *table) delete(id string) {
	delete(t.writable(id).bodies, id)
	t.count--
}

// writable returns the id's shard, once it is the table's own.
func (t *table) writable(id string) *shard {
	s := t.at(id)
	if s.own != t.own {
		*s = shard{t.own, maps.Clone(s.bodies)}
	}
	return s
}

// split spreads what is in the one shard over many.
func (t *table) split() {
	few := t.shards[0].bodies
	t.shards = make([]shard, 1<<shardBits)
	for i := range t.shards {
		t.shards[i] = shard{t.own, map[string][]byte{}}
	}
	for id, body := range few {
		t.at(id).bodies[id] = body
	}
}

func (t *table) all() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, s := range t.shards {
			for id, body := range s.bodies {
				if !yield(id, body) {
					return
				}
			}
		}
	}
}

// ids returns all of them, sorted.
func (t *table) ids() []string {
	if t == nil {
		return nil
	}
	ids := make([]string, 0, t.count)
	for id := range t.all() {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
