package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet/link"
)

func (s *supervisor) linkClient() *link.Client {
	return &link.Client{URL: s.LinksURL, Token: s.file.LinksToken, HTTP: s.http}
}

// cuts returns what the fault does to which links.
func (f *fault) cuts() ([]brokenLink, error) {
	data, err := decodeUndo(f.undo)
	if err != nil {
		return nil, err
	}
	var all []brokenLink
	for _, t := range data.Targets {
		all = append(all, t.Links...)
	}
	if len(all) == 0 {
		return nil, errors.New("it names no links")
	}
	return all, nil
}

// cutLinks cuts all of the fault's links, or none if another fault has one of them: neither could be seen by itself, and
// the end of one would be the end of both.
func (s *supervisor) cutLinks(ctx context.Context, f *fault) error {
	cuts, err := f.cuts()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, linksWithin, fmt.Errorf("links do not answer within %s", linksWithin))
	defer cancel()
	client := s.linkClient()
	infos, err := client.Links(ctx)
	if err != nil {
		return err
	}
	owners := map[string]string{}
	for _, info := range infos {
		owners[info.ID] = info.Owner
	}
	for _, c := range cuts {
		if owner := owners[c.Link]; owner != "" {
			return fmt.Errorf("link %s is cut by fault %s: revert that first", c.Link, owner)
		}
	}
	for _, c := range cuts {
		c.State.Owner, c.State.Lease = f.undo.Fault.ID, f.undo.Fault.Lease
		if err := client.Set(ctx, c.Link, c.State); err != nil {
			return err
		}
	}
	return nil
}

// renewLinks extends the leases that the links keep. It fails if one of them has healed, or was started anew: then the
// fault is not what it was.
func (s *supervisor) renewLinks(ctx context.Context, f *fault) error {
	cuts, err := f.cuts()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, linksWithin, fmt.Errorf("links do not answer within %s", linksWithin))
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, c := range cuts {
		group.Go(func() error { return s.linkClient().Renew(ctx, c.Link, f.undo.Fault.ID, f.undo.Fault.Lease) })
	}
	return group.Wait()
}

// mendLinks makes the fault's links pass again, and sees that they do. It leaves alone what another fault does to them.
func (s *supervisor) mendLinks(ctx context.Context, f *fault, look lookAtLink) error {
	cuts, err := f.cuts()
	if err != nil {
		return err
	}
	if err := s.startLinks(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, linksWithin, fmt.Errorf("links do not answer within %s", linksWithin))
	defer cancel()
	for _, c := range cuts {
		if err := s.linkClient().Release(limited, c.Link, f.undo.Fault.ID); err != nil {
			return err
		}
	}
	var group errgroup.Group
	for _, c := range cuts {
		group.Go(func() error { return s.mended(ctx, c, look) })
	}
	return group.Wait()
}

// mended sees that the link carries, and that the fault does not show any more. A link that another fault has by now says
// nothing of this one, which it does not do.
func (s *supervisor) mended(ctx context.Context, c brokenLink, look lookAtLink) (err error) {
	for range 3 { // a busy machine is late, too
		if err = carries(ctx, c); err == nil {
			var seen string
			if seen, err = look(ctx, c); err != nil {
				return nil
			}
			err = fmt.Errorf("fault still shows: %s", seen)
		}
		if info, found := s.link(ctx, c.Link); found && info.Owner != "" {
			return nil
		}
	}
	return err
}

// link asks for what the link does.
func (s *supervisor) link(ctx context.Context, id string) (link.Info, bool) {
	ctx, cancel := context.WithTimeout(ctx, linksWithin)
	defer cancel()
	infos, err := s.linkClient().Links(ctx)
	if err != nil {
		return link.Info{}, false
	}
	for _, info := range infos {
		if info.ID == id {
			return info, true
		}
	}
	return link.Info{}, false
}

// keepLinks starts the process with the links again whenever it ends, until ctx does: it is what the lab breaks things
// with, and nothing that a drill may break. Its links pass then, whatever they did before.
func (s *supervisor) keepLinks(ctx context.Context) {
	for {
		r, _ := s.children[linksID].current()
		select {
		case <-ctx.Done():
			return
		case <-r.over:
		}
		s.log.Error("links have ended, start them again: faults of theirs are over", "exit", r.exit)
		s.changing.Lock()
		err := s.startLinks(ctx)
		s.changing.Unlock()
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.log.Error("start links", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(healAgain):
		}
	}
}

// startLinks starts the process with the links unless it runs. The caller holds s.changing.
func (s *supervisor) startLinks(ctx context.Context) error {
	c := s.children[linksID]
	if r, _ := c.current(); r.running() {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("lab ends: %w", err)
	}
	if err := c.start(); err != nil {
		return err
	}
	return s.await(ctx, []*child{c}, program.started)
}
