package store

import (
	"context"
	"fmt"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// DryRun takes the place of a Store for changes that are not to be made: it refuses what the store would refuse for what it holds
// and for its role, and notes what would be different. The quota is not looked at.
type DryRun struct {
	Store *Store

	Revision int64            // at which it looked
	Changes  []gateway.Change // what would be different then; what would be written as it is there already is none
}

// Put is that of Store, with the revision at which it looked.
func (d *DryRun) Put(ctx context.Context, e gateway.Entity, c gateway.Condition) (revision, before int64, err error) {
	if err := e.Validate(); err != nil {
		return 0, 0, err
	}
	there, err := d.look(ctx, d.Store.state.Load(), e.Ref, c, e.Ref)
	if err != nil {
		return 0, 0, fmt.Errorf("put %s: %w", e.Ref, err)
	}
	d.note(there, []gateway.Change{{Op: gateway.Create, Entity: e}})
	return d.Revision, there[e.Ref].Revision, nil
}

// Delete is that of Store, with the revision at which it looked.
func (d *DryRun) Delete(ctx context.Context, r gateway.Ref, c gateway.Condition) (revision, before int64, err error) {
	return d.remove(ctx, r, c, nil)
}

// DeleteLeaving is that of Store, with the revision at which it looked.
func (d *DryRun) DeleteLeaving(ctx context.Context, r gateway.Ref, left gateway.Entity, c gateway.Condition) (
	revision, before int64, err error,
) {
	return d.remove(ctx, r, c, &left)
}

func (d *DryRun) remove(ctx context.Context, r gateway.Ref, c gateway.Condition, left *gateway.Entity) (revision, before int64, err error) {
	refs, changes := []gateway.Ref{r}, []gateway.Change{{Op: gateway.Delete, Entity: gateway.Entity{Ref: r}}}
	if left != nil {
		refs, changes = append(refs, left.Ref), append(changes, gateway.Change{Op: gateway.Create, Entity: *left})
	}
	there, err := d.look(ctx, d.Store.state.Load(), r, c, refs...)
	if _, found := there[r]; err == nil && !found {
		err = gateway.ErrNotFound
	}
	if err != nil {
		return 0, 0, fmt.Errorf("delete %s: %w", r, err)
	}
	d.note(there, changes)
	return d.Revision, there[r].Revision, nil
}

// Apply is that of Store, with the revision at which it looked. applied is how many changes it was given.
func (d *DryRun) Apply(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (applied int, revision int64, err error) {
	refs := make([]gateway.Ref, len(changes))
	for i, c := range changes {
		if err := c.Entity.Validate(); err != nil {
			return 0, 0, inApply(err)
		}
		refs[i] = c.Entity.Ref
	}
	acted := d.Store.state.Load()
	if b.Restore && acted.role.Mode == gateway.ModeBlank { // a restore ends that mode
		leads := *acted
		leads.role.Mode = gateway.ModeLeader
		acted = &leads
	}
	there, err := d.look(ctx, acted, gateway.Ref{}, gateway.Condition{Base: b.Base}, refs...)
	if err != nil {
		return 0, 0, inApply(err)
	}
	d.note(there, changes)
	return len(changes), d.Revision, nil
}

// look returns those of the entities that are there, if the role and the conditions allow changes.
func (d *DryRun) look(ctx context.Context, acted *known, r gateway.Ref, c gateway.Condition, refs ...gateway.Ref) (
	map[gateway.Ref]gateway.Item, error,
) {
	if err := acted.leads(); err != nil {
		return nil, err
	}
	resp, err := d.Store.kv.Txn(ctx).If(acted.conditions(r, c)...).Then(clientv3.OpGet(keyHead, d.Store.reads)).Commit()
	if err != nil {
		return nil, d.Store.engineError(err)
	}
	d.Revision = resp.Header.Revision
	if !resp.Succeeded {
		return nil, d.Store.refusal(ctx, acted, c)
	}
	return d.Store.at(ctx, d.Revision, refs)
}

// at returns those of the entities that were there at the revision.
func (s *Store) at(ctx context.Context, revision int64, refs []gateway.Ref) (there map[gateway.Ref]gateway.Item, err error) {
	there = map[gateway.Ref]gateway.Item{}
	for some := range slices.Chunk(refs, anywhere.ops) {
		gets := make([]clientv3.Op, 0, len(some))
		for _, r := range some {
			gets = append(gets, clientv3.OpGet(key(r), clientv3.WithRev(revision), s.reads))
		}
		resp, err := s.kv.Txn(ctx).Then(gets...).Commit()
		if err != nil {
			return nil, fmt.Errorf("read %s and others: %w", some[0], forgotten(revision, err))
		}
		for i, r := range some {
			if found := resp.Responses[i].GetResponseRange().Kvs; len(found) > 0 {
				there[r] = item(found[0])
			}
		}
	}
	return there, nil
}

// note takes down what the changes would make different.
func (d *DryRun) note(there map[gateway.Ref]gateway.Item, changes []gateway.Change) {
	before := gateway.NewState()
	for _, i := range there {
		before.Put(i.Entity)
	}
	after := before.Clone()
	for _, c := range changes {
		after.Apply(c)
	}
	d.Changes = gateway.Diff(before, after)
}
