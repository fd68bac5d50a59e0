package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
)

// modeBlank is what a control plane says of itself that lost its store and waits for a restore.
const modeBlank = "blank"

// wipe takes the targets' stores away.
func (s *supervisor) wipe(ctx context.Context, f *fault) error {
	return eachTarget(f, func(c *child) error { return s.wipeOne(ctx, c, f.undo.Fault.ID) })
}

func (s *supervisor) wipeOne(ctx context.Context, c *child, fault string) error {
	c.hold(fault)
	if err := c.kill(ctx); err != nil {
		return err
	}
	if err := os.Rename(s.store(c), s.setAside(c, fault)); err != nil {
		return fmt.Errorf("set store of %s aside: %w", c.ID, err)
	}
	mode, err := s.bring(ctx, c)
	if err != nil {
		return err
	}
	if mode != modeBlank {
		return fmt.Errorf("%s lost its store and yet says it is %q", c.ID, mode)
	}
	c.hold("")
	return nil
}

// unwipe gives each target its store back, unless it was restored meanwhile.
func (s *supervisor) unwipe(ctx context.Context, f *fault) error {
	return eachTarget(f, func(c *child) error { return s.unwipeOne(ctx, c, f.undo.Fault.ID) })
}

func (s *supervisor) unwipeOne(ctx context.Context, c *child, fault string) error {
	if _, held := c.current(); held != "" && held != fault {
		return fmt.Errorf("%s is kept down by fault %s: revert that first", c.ID, held)
	}
	c.hold(fault)
	if err := s.giveBack(ctx, c, s.setAside(c, fault)); err != nil {
		return err
	}
	c.hold("")
	return nil
}

// giveBack leaves the child running, with the store that it had before or with the one that was restored.
func (s *supervisor) giveBack(ctx context.Context, c *child, aside string) error {
	mode, err := s.bring(ctx, c)
	if err != nil {
		return err
	}
	_, err = os.Stat(aside)
	switch {
	case errors.Is(err, fs.ErrNotExist): // it was never taken away
		return nil
	case err != nil:
		return fmt.Errorf("find store of %s: %w", c.ID, err)
	case mode != modeBlank:
		s.log.Info("store was restored, drop the one set aside", "instance", c.ID, "mode", mode)
		if err := os.RemoveAll(aside); err != nil {
			return fmt.Errorf("drop store of %s: %w", c.ID, err)
		}
		return nil
	}
	if err := s.putBack(ctx, c, aside); err != nil {
		return fmt.Errorf("put store of %s back: %w", c.ID, err)
	}
	if mode, err = s.bring(ctx, c); err == nil && mode == modeBlank {
		err = fmt.Errorf("%s has its store back and yet says it is %s", c.ID, mode)
	}
	return err
}

func (s *supervisor) putBack(ctx context.Context, c *child, aside string) error {
	if err := c.kill(ctx); err != nil {
		return err
	}
	if err := os.RemoveAll(s.store(c)); err != nil {
		return err
	}
	return os.Rename(aside, s.store(c))
}

func (s *supervisor) store(c *child) string { return filepath.Join(s.dir.node(c.ID), "store") }

func (s *supervisor) setAside(c *child, fault string) string { return s.store(c) + ".before-" + fault }

// bring starts the control plane unless it runs, waits until it serves, and returns its mode.
func (s *supervisor) bring(ctx context.Context, c *child) (mode string, err error) {
	if err := c.start(); err != nil {
		return "", err
	}
	if err := s.await(ctx, []*child{c}, program.started); err != nil {
		return "", err
	}
	return controlMode(ctx, s.http, c.AdminURL, s.file.AdminToken)
}

// controlMode asks a control plane for its mode.
func controlMode(ctx context.Context, client *http.Client, url, token string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/status", nil)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("read status: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("read status of %s: %s", url, resp.Status)
	}
	var status struct{ Mode string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&status); err != nil {
		return "", fmt.Errorf("read status of %s: %w", url, err)
	}
	return status.Mode, nil
}
