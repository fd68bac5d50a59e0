package docker

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"gwdr/fleet"
)

// The labels of a mark, which is an empty volume: it is there as long as its fault is in effect, also when the engine is
// started again. People see it, too: docker volume inspect shows what would undo the fault.
const (
	markFault  = "gwdr.fault"  // the fault's id
	markFleet  = "gwdr.fleet"  // the fleet's label
	markNonce  = "gwdr.nonce"  // of the preparation
	markHolder = "gwdr.holder" // of the injection
	markUndo   = "gwdr.undo"   // the whole record
)

// mark is a volume that says a fault is in effect.
type mark struct {
	Name   string
	Driver string            `json:",omitempty"`
	Labels map[string]string `json:",omitempty"`
}

// markName is unique for a fault of a fleet.
func markName(label, fault string) string {
	sum := sha256.Sum256([]byte(label))
	return "gwdr-" + fault + "-" + hex.EncodeToString(sum[:4])
}

// errMarked says that the fault's id is taken.
var errMarked = errors.New("it is already in effect")

// mark says on the engine that the fault is in effect. To create a volume that is there is no error: whose it is, its labels
// say.
func (f *Fleet) mark(ctx context.Context, u fleet.Undo) error {
	data, err := decodeUndo(u)
	if err != nil {
		return err
	}
	record, err := json.Marshal(u)
	if err != nil {
		return err
	}
	m := mark{Name: markName(data.Label, u.Fault.ID), Driver: "local", Labels: map[string]string{
		markFault: u.Fault.ID, markFleet: data.Label, markNonce: data.Nonce, markHolder: rand.Text(), markUndo: string(record),
	}}
	var there mark
	if err := f.engine.call(ctx, http.MethodPost, "/volumes/create", m, &there); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	if there.Labels[markHolder] != m.Labels[markHolder] {
		return fmt.Errorf("%w: volume %s of the engine says so", errMarked, m.Name)
	}
	return nil
}

// marked returns an error unless the fault's mark is there, and of this preparation.
func (f *Fleet) marked(ctx context.Context, fault, nonce string) error {
	var m mark
	err := f.engine.call(ctx, http.MethodGet, "/volumes/"+url.PathEscape(markName(f.options.Label, fault)), nil, &m)
	if err == nil && m.Labels[markNonce] != nonce {
		err = errNotFound
	}
	if errors.Is(err, errNotFound) {
		return errors.New("the fault is not in effect any more")
	}
	return err
}

// unmark takes the fault's mark away, unless it is that of another, and what ended its loop.
func (f *Fleet) unmark(ctx context.Context, fault, nonce string) error {
	name := markName(f.options.Label, fault)
	var m mark
	err := f.engine.call(ctx, http.MethodGet, "/volumes/"+url.PathEscape(name), nil, &m)
	if err == nil && m.Labels[markNonce] == nonce {
		err = f.removeVolume(ctx, name)
	}
	if errors.Is(err, errNotFound) {
		err = nil
	}
	if err = errors.Join(err, f.removeVolume(ctx, stopName(nonce))); err != nil {
		return fmt.Errorf("fault %s is reverted, but volume %s of the engine still says that it is in effect: %w", fault, name, err)
	}
	return nil
}

// removeVolume is no error if it is gone.
func (f *Fleet) removeVolume(ctx context.Context, name string) error {
	err := f.engine.call(ctx, http.MethodDelete, "/volumes/"+url.PathEscape(name), nil, nil)
	if errors.Is(err, errNotFound) {
		return nil
	}
	return err
}

// marks lists the faults in effect on the engine, of all fleets.
func (f *Fleet) marks(ctx context.Context) ([]mark, error) {
	var all struct{ Volumes []mark }
	err := f.engine.call(ctx, http.MethodGet, "/volumes?"+filters(markFault), nil, &all)
	return all.Volumes, err
}

// downs tells the kinds of fault that keep their targets down.
func downs(kind fleet.FaultKind) bool { return kind == fleet.Kill || kind == fleet.Stop }

// heldDown returns the id of another fault that keeps the container down, or "".
func (f *Fleet) heldDown(ctx context.Context, id, nonce string) (string, error) {
	all, err := f.marks(ctx)
	if err != nil {
		return "", err
	}
	for _, m := range all {
		var u fleet.Undo
		if m.Labels[markNonce] == nonce || json.Unmarshal([]byte(m.Labels[markUndo]), &u) != nil || !downs(u.Fault.Kind) {
			continue
		}
		data, err := decodeUndo(u)
		if err == nil && slices.ContainsFunc(data.Targets, func(t target) bool { return t.ID == id }) {
			return u.Fault.ID, nil
		}
	}
	return "", nil
}
