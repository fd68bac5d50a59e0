package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// dropIns is where units get settings that last until the machine is started anew (systemd.unit(5)).
const dropIns = "/run/systemd/system"

// systemctl runs it, and returns what it says.
func (s service) systemctl(ctx context.Context, args ...string) (string, error) {
	if err := s.Systemctl.Trusted(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, s.Systemctl.Args[0], append([]string{"--no-pager", "--no-ask-password"}, args...)...)
	cmd.Env, cmd.Stderr = s.Env, &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return string(out), nil
}

// show returns properties of the unit (org.freedesktop.systemd1(5)).
func (s service) show(ctx context.Context) (map[string]string, error) {
	text, err := s.systemctl(ctx, "show", "--property=LoadState,ActiveState,MainPID,Restart,DropInPaths", s.Unit)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			all[key] = value
		}
	}
	if all["LoadState"] != "loaded" {
		return nil, fmt.Errorf("unit %s is %s", s.Unit, all["LoadState"])
	}
	return all, nil
}

func (s service) unitPID(ctx context.Context) (int, error) {
	all, err := s.show(ctx)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(all["MainPID"])
	switch {
	case err != nil:
		return 0, fmt.Errorf("systemctl says MainPID=%q of %s", all["MainPID"], s.Unit)
	case pid == 0:
		return 0, fmt.Errorf("%w: unit %s is %s", errNotRunning, s.Unit, all["ActiveState"])
	}
	return pid, nil
}

// dropIn keeps systemd from starting the unit again by itself during the fault.
func (s service) dropIn(fault string) string {
	return filepath.Join(dropIns, s.Unit+".d", "zz-gwdr-"+fault+".conf")
}

// holdDown lets nobody start the service again by itself; what supervises a process of a pid file, gwdr does not know.
func (s service) holdDown(ctx context.Context, fault string) error {
	if s.Unit == "" {
		return nil
	}
	file := s.dropIn(fault)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file, []byte("# of a drill of gwdr; 'gwdr drill revert' removes it\n[Service]\nRestart=no\n"), 0o644); err != nil {
		return err
	}
	if _, err := s.systemctl(ctx, "daemon-reload"); err != nil {
		return err
	}
	all, err := s.show(ctx)
	if err == nil && all["Restart"] != "no" {
		err = fmt.Errorf("unit %s has Restart=%s all the same: a later drop-in says so", s.Unit, all["Restart"])
	}
	return err
}

// release lets it be started again as before.
func (s service) release(ctx context.Context, fault string) error {
	if s.Unit == "" {
		return nil
	}
	file := s.dropIn(fault)
	err := os.Remove(file)
	if errors.Is(err, fs.ErrNotExist) { // but whoever removed it may not have come to the reload
		all, err := s.show(ctx)
		if err != nil || !strings.Contains(all["DropInPaths"], file) {
			return err
		}
	} else if err != nil {
		return err
	}
	os.Remove(filepath.Dir(file)) // if it holds nothing else
	_, err = s.systemctl(ctx, "daemon-reload")
	return err
}
