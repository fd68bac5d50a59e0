package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/mark"
	"gwdr/fleet/proc"
)

// trace is what the injection and the revert have done to one target, for whoever goes on with it.
type trace struct {
	Touched []proc.ID `json:"touched,omitempty"` // were stopped or ended
	Asked   bool      `json:"asked,omitempty"`   // to end by themselves
	Start   *start    `json:"start,omitempty"`   // is about to bring it back
}

// start is a command that was started to bring a service back.
type start struct {
	ID proc.ID   `json:"id"`
	At time.Time `json:"at"`
}

// traces are those of each target, by name. The fault's mark keeps them.
type traces struct {
	mu sync.Mutex
	of map[string]trace
}

// UnmarshalJSON also reads what earlier versions wrote: the touched processes alone.
func (t *trace) UnmarshalJSON(text []byte) error {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		var touched []proc.ID
		err := json.Unmarshal(text, &touched)
		*t = trace{Touched: touched, Asked: true} // who knows
		return err
	}
	type plain trace
	return json.Unmarshal(text, (*plain)(t))
}

func tracesIn(m mark.Mark) (*traces, error) {
	all := &traces{of: map[string]trace{}}
	if len(m.Note) == 0 {
		return all, nil
	}
	return all, json.Unmarshal(m.Note, &all.of)
}

// noting makes the trace of a target safe.
type noting func(trace) error

// noting returns what keeps traces of the target. Without a mark nothing is kept: then nothing was broken.
func (t *traces) noting(u fleet.Undo, data undoData, of target) noting {
	return func(now trace) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.of[of.Name] = now
		note, err := json.Marshal(t.of)
		if err == nil {
			err = data.marks().Injected(u, note)
		}
		if errors.Is(err, mark.ErrGone) {
			return nil
		}
		return err
	}
}
