package contract

import (
	"sync"
	"sync/atomic"

	"gwdr/gateway"
)

// Cache keeps compiled documents, those that were used last. The zero value keeps none but the last.
type Cache struct {
	Most int64 // bytes of text of the documents that are kept; one that is larger is kept alone

	clock  atomic.Int64
	mu     sync.Mutex // is held while a document is compiled: one at a time, as it takes memory
	kept   map[*Spec]bool
	weight int64
}

// Spec is a document that is compiled when it is first needed, and again when the Cache had to give it up.
type Spec struct {
	id    string
	text  []byte
	used  atomic.Int64 // by the cache's clock
	ready atomic.Pointer[compiled]
}

// compiled is what became of a document.
type compiled struct {
	document *Document
	err      error
	bound    sync.Map // by Route.key, what became of it: *bound
}

type bound struct {
	contract *Contract
	err      error
}

// Route is what of a route decides on its contract.
type Route struct {
	body gateway.RouteBody
	key  string
}

// NewRoute returns that of the body.
func NewRoute(b *gateway.RouteBody) *Route {
	r := &Route{body: gateway.RouteBody{Methods: b.Methods, Path: b.Path, Match: b.Match}}
	r.key = string(gateway.Encode(r.body))
	return r
}

// NewSpec returns the document that the spec of the id is. The text is not the caller's to change any more.
func NewSpec(id string, text []byte) *Spec { return &Spec{id: id, text: text} }

// Contract returns what requests of the route have to be like; it is as Document.Contract, and quick but for the first time.
func (c *Cache) Contract(s *Spec, r *Route) (*Contract, error) {
	ready := s.ready.Load()
	if ready == nil {
		ready = c.compile(s)
	}
	s.used.Store(c.clock.Add(1))
	if ready.err != nil {
		return nil, ready.err
	}
	known, ok := ready.bound.Load(r.key)
	if !ok {
		contract, err := ready.document.Contract(s.id, &r.body)
		known, _ = ready.bound.LoadOrStore(r.key, &bound{contract, err})
	}
	found := known.(*bound)
	return found.contract, found.err
}

func (c *Cache) compile(s *Spec) *compiled {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ready := s.ready.Load(); ready != nil { // somebody was quicker
		return ready
	}
	ready := new(compiled)
	ready.document, ready.err = Compile(s.text)
	s.ready.Store(ready)
	if ready.err == nil { // an error takes no room
		c.keep(s)
	}
	return ready
}

// keep makes room for the document.
func (c *Cache) keep(s *Spec) {
	if c.kept == nil {
		c.kept = map[*Spec]bool{}
	}
	for c.weight+int64(len(s.text)) > c.Most && len(c.kept) > 0 {
		c.drop(c.oldest())
	}
	c.kept[s] = true
	c.weight += int64(len(s.text))
}

func (c *Cache) drop(s *Spec) {
	s.ready.Store(nil)
	delete(c.kept, s)
	c.weight -= int64(len(s.text))
}

func (c *Cache) oldest() (oldest *Spec) {
	for s := range c.kept {
		if oldest == nil || s.used.Load() < oldest.used.Load() {
			oldest = s
		}
	}
	return oldest
}

// Forget gives the document up: it is not there any more.
func (c *Cache) Forget(s *Spec) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept[s] {
		c.drop(s)
	}
}
