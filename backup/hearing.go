package backup

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// hearing is what is learnt of the copies while something is read from them: who kept silent once is not waited for again.
// It is safe for concurrent use.
type hearing struct {
	mu     sync.Mutex
	silent map[string]error // by the copy's name: did not answer within the patience, and is asked no more
	late   map[string]bool  // said nothing while another one answered: is asked last
}

// Attentive returns the copies for one reading: what is learnt of a copy's silence by one that reads from them, as Find,
// ReadTail, Load and Forks do, the others know.
func Attentive(copies []Copy) []Copy {
	attentive := slices.Clone(copies)
	h := &hearing{silent: map[string]error{}, late: map[string]bool{}}
	for _, c := range copies {
		if c.hearing != nil {
			h = c.hearing
			break
		}
	}
	for i := range attentive {
		attentive[i].hearing = h
	}
	return attentive
}

var errLate = fmt.Errorf("%w while others did: they were asked in its place", ErrSilent)

// Silences returns those of the copies, which are Attentive's, that were not heard when they were asked for something. The
// errors wrap ErrSilent.
func Silences(copies []Copy) (problems []Problem) {
	for _, c := range copies {
		if err := c.hearing.of(c); err != nil {
			problems = append(problems, newProblem(c, "", err))
		} else if c.hearing.isLate(c) {
			problems = append(problems, newProblem(c, "", errLate))
		}
	}
	return problems
}

// of returns the error of a copy that is asked no more.
func (h *hearing) of(c Copy) error {
	if h == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.silent[c.Name]
}

// note keeps who was silent.
func (h *hearing) note(c Copy, err error) {
	if h == nil || !errors.Is(err, ErrSilent) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.silent[c.Name] == nil {
		h.silent[c.Name] = err
	}
}

func (h *hearing) noteLate(c Copy) {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late[c.Name] = true
}

func (h *hearing) isLate(c Copy) bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.late[c.Name]
}
