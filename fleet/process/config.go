package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

// configFaults are those of what the gateway is told by its administrators.
func configFaults() map[fleet.FaultKind]injector {
	control := []fleet.Role{fleet.Control}
	return map[fleet.FaultKind]injector{
		fleet.BadConfig: {roles: control, inject: (*supervisor).misconfigure, revert: (*supervisor).putBackConfig, look: (*Lab).lookBadConfig},
		fleet.KeyWipe:   {roles: control, inject: (*supervisor).misconfigure, revert: (*supervisor).putBackConfig, look: (*Lab).lookNoKeys},
	}
}

// The kinds of entities that faults of configuration read and change.
const (
	kindUpstream   = "upstream"
	kindKey        = "key"
	kindRevocation = "revocation"
	kindRoute      = "route"
)

// misconfigure makes the targets' configuration a wrong one, which is valid. What was there before is safe on disk first.
func (s *supervisor) misconfigure(ctx context.Context, f *fault) error {
	if other := s.another(f); other != "" {
		return fmt.Errorf("fault %s, of the same kind, is in effect: neither could be told from the other", other)
	}
	for _, c := range f.targets {
		if err := s.misconfigureOne(ctx, f.undo.Fault, c); err != nil {
			return fmt.Errorf("misconfigure %s: %w", c.ID, err)
		}
	}
	return nil
}

// another returns a fault of the same kind that is in effect, or "".
func (s *supervisor) another(f *fault) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, other := range s.faults {
		if other != f && other.undo.Fault.Kind == f.undo.Fault.Kind {
			return id
		}
	}
	return ""
}

func (s *supervisor) misconfigureOne(ctx context.Context, f fleet.Fault, c *child) error {
	leader, err := s.leaderOf(ctx, c)
	if err != nil {
		return err
	}
	if leader != c {
		return fmt.Errorf("%s leads: only there are changes taken", leader.ID)
	}
	kind, bad := kindKey, []byte(nil)
	if f.Kind == fleet.BadConfig {
		kind = kindUpstream
		if bad, err = s.badUpstream(); err != nil {
			return err
		}
	}
	revision, err := s.admin(c).edit(ctx, func(all map[string]map[string][]byte) ([]change, error) {
		if len(all[kind]) == 0 {
			return nil, fmt.Errorf("it has no %s", kind)
		}
		saved := savedConfig{Kind: kind, Bad: bad, Entities: all[kind], Revoked: slices.Sorted(maps.Keys(all[kindRevocation]))}
		return wrongChanges(kind, all[kind], bad), s.setAsideConfig(c, f, saved)
	}, kind, kindRevocation)
	if err != nil {
		return err
	}
	s.followed(ctx, c, revision)
	return nil
}

// modeLeader is what a control plane says of itself that takes changes.
const modeLeader = "leader"

// badUpstream is the body of an upstream that is valid and leads nowhere: to a port that nobody of this lab will ever listen on.
func (s *supervisor) badUpstream() ([]byte, error) {
	addr, err := s.held.take()
	if err != nil {
		return nil, err
	}
	return json.Marshal(edgeUpstreamOnly{Endpoints: []edgeEndpoint{{URL: "http://" + addr}}})
}

type edgeUpstreamOnly struct {
	Endpoints []edgeEndpoint `json:"endpoints"`
}

// wrongChanges makes every entity the bad one, or deletes it if there is none.
func wrongChanges(kind string, entities map[string][]byte, bad []byte) (changes []change) {
	for id := range entities {
		if bad == nil {
			changes = append(changes, change{Op: "delete", Kind: kind, ID: id})
		} else {
			changes = append(changes, change{Op: "update", Kind: kind, ID: id, Body: bad})
		}
	}
	return changes
}

// putBackConfig puts back what is still as the fault left it.
func (s *supervisor) putBackConfig(ctx context.Context, f *fault) error {
	if err := s.bringBack(ctx, f); err != nil {
		return err
	}
	for _, c := range f.targets {
		if err := s.putBackOne(ctx, f.undo.Fault, c); err != nil {
			return fmt.Errorf("put the configuration of %s back: %w", c.ID, err)
		}
	}
	return nil
}

func (s *supervisor) putBackOne(ctx context.Context, f fleet.Fault, c *child) error {
	saved, err := s.savedConfig(c, f)
	if err != nil || saved == nil { // nil: nothing was changed
		return err
	}
	leader, err := s.leaderOf(ctx, c)
	if err != nil {
		return err
	}
	revision, err := s.admin(leader).edit(ctx, func(all map[string]map[string][]byte) ([]change, error) {
		return saved.undo(all), nil
	}, saved.Kind, kindRevocation)
	if err != nil {
		return err
	}
	s.followed(ctx, leader, revision)
	return s.dropSavedConfig(c, f)
}

// undo returns what has to be changed for the entities to be as they were, but for those that were changed, restored or deleted
// meanwhile. A key that was revoked meanwhile stays away: nothing may undo a revocation.
func (saved *savedConfig) undo(all map[string]map[string][]byte) (changes []change) {
	for id, body := range saved.Entities {
		now, there := all[saved.Kind][id]
		_, revoked := all[kindRevocation][id]
		revoked = revoked && !slices.Contains(saved.Revoked, id)
		switch {
		case saved.Bad == nil && !there && !revoked:
			changes = append(changes, change{Op: "create", Kind: saved.Kind, ID: id, Body: body})
		case saved.Bad != nil && there && bytes.Equal(now, saved.Bad):
			changes = append(changes, change{Op: "update", Kind: saved.Kind, ID: id, Body: body})
		}
	}
	return changes
}

// leaderOf returns the control plane that takes changes of the configuration that c has: c itself, or, where the regions follow one
// of them, the one that was promoted last. An old leader says for some time that it leads, and what it takes is lost.
func (s *supervisor) leaderOf(ctx context.Context, c *child) (leader *child, err error) {
	candidates := []*child{c}
	if s.topology.Replication == ReplicationAsync {
		candidates = s.all()
	}
	newest := int64(0)
	for _, other := range candidates {
		if r, _ := other.current(); other.Role != fleet.Control || !r.running() {
			continue
		}
		mode, epoch, err := s.admin(other).role(ctx)
		if err == nil && mode == modeLeader && epoch > newest {
			leader, newest = other, epoch
		}
	}
	if leader == nil {
		return nil, errors.New("no control plane takes changes")
	}
	return leader, nil
}

func (s *supervisor) admin(c *child) adminAPI {
	return adminAPI{url: c.AdminURL, token: s.file.AdminToken, http: s.http}
}

// followWithin is how long data planes may take to follow a change. Others may be broken on purpose: they are not waited for longer.
const followWithin = 2 * time.Second

// followed waits until the data planes of the control plane's region have what it has. That they may not is no error: the
// configuration is what was changed.
func (s *supervisor) followed(ctx context.Context, control *child, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, followWithin)
	defer cancel()
	var group errgroup.Group
	for _, c := range s.all() {
		if r, held := c.current(); c.Role == fleet.Data && c.Region == control.Region && r.running() && held == "" {
			group.Go(func() error {
				return poll(ctx, "wait for "+c.ID, func() error { return hasLoaded(ctx, s.admin(c), revision) })
			})
		}
	}
	if err := group.Wait(); err != nil {
		s.log.Warn("a data plane does not follow", "error", err)
	}
}

// hasLoaded reports why the data plane does not have the revision.
func hasLoaded(ctx context.Context, a adminAPI, revision int64) error {
	answer, err := a.do(ctx, http.MethodGet, "/v1/status?brief=true", nil, nil)
	if err != nil {
		return err
	}
	var status struct{ Data struct{ Revision int64 } }
	if err := json.Unmarshal(answer, &status); err != nil {
		return err
	}
	if status.Data.Revision < revision {
		return fmt.Errorf("it has revision %d, not %d", status.Data.Revision, revision)
	}
	return nil
}
