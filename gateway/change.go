package gateway

import (
	"encoding/json"
	"fmt"
)

// MarshalJSON writes the change as {"op","kind","id","body":base64}, the line of a watch and of an apply. Old is left
// out, and so is the body of a delete.
func (c Change) MarshalJSON() ([]byte, error) {
	if err := c.Entity.Ref.wellFormed(); err != nil {
		return nil, err
	}
	l := changeLine{Op: c.Op, Kind: c.Entity.Kind, ID: c.Entity.ID}
	if c.Op != Delete {
		l.Body = &c.Entity.Body
		if c.Entity.Body == nil {
			l.Body = &[]byte{}
		}
	}
	return json.Marshal(l)
}

// UnmarshalJSON reads what MarshalJSON wrote. An unknown op, a missing kind, id or body is an error.
func (c *Change) UnmarshalJSON(text []byte) error {
	var l changeLine
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	ref := Ref{Kind: l.Kind, ID: l.ID}
	if err := ref.wellFormed(); err != nil {
		return err
	}
	if l.Op != Create && l.Op != Update && l.Op != Delete {
		return fmt.Errorf("change of %q has unknown op %q", ref.String(), l.Op)
	}
	if l.Op != Delete && l.Body == nil {
		return fmt.Errorf("%s of %q lacks a body", l.Op, ref.String())
	}
	*c = Change{Op: l.Op, Entity: Entity{Ref: ref}}
	if l.Op != Delete {
		c.Entity.Body = *l.Body
	}
	return nil
}

type changeLine struct {
	Op   Op      `json:"op"`
	Kind Kind    `json:"kind"`
	ID   string  `json:"id"`
	Body *[]byte `json:"body,omitempty"`
}
