package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gwdr/fleet/proc"
)

func supported() error { return nil }

// touchable refuses processes that nobody can have meant: the first one, threads of the kernel, gwdr and whatever it runs in, and those
// that belong to somebody else, if gwdr is not root's.
func touchable(id proc.ID, exe string) error {
	at, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", id.PID))
	switch {
	case id.PID == 1:
		return fmt.Errorf("%w: it is the first of the machine", errNotOurs)
	case slices.Contains(ancestors(os.Getpid()), id.PID):
		return fmt.Errorf("%w: gwdr itself runs in it", errNotOurs)
	case err != nil && os.Geteuid() == 0:
		return fmt.Errorf("%w: it is a thread of the kernel: %w", errNotOurs, err)
	case err != nil:
		return fmt.Errorf("%w: it is not of the user who runs gwdr: %w", errNotOurs, err)
	case exe != "" && strings.TrimSuffix(at, " (deleted)") != exe:
		return fmt.Errorf("%w: it runs %s, and exe says %s: the pid is out of date", errNotRunning, at, exe)
	}
	return nil
}

// ancestors are the process itself, its parent, and so on.
func ancestors(pid int) []int {
	parents := stats(parentField)
	var line []int
	for ; pid > 0 && !slices.Contains(line, pid); pid = parents[pid] {
		line = append(line, pid)
	}
	return line
}

// The fields of proc_pid_stat(5) that are read, counted from the one behind the name.
const (
	parentField  = 1
	sessionField = 3
)

// stats returns a field of each process that there is.
func stats(field int) map[int]int {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	all := map[int]int{}
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); len(fields) > field {
			all[pid], _ = strconv.Atoi(string(fields[field]))
		}
	}
	return all
}

// session lists the processes of a session that have not ended.
func session(leader int) (all []proc.ID) {
	for pid, session := range stats(sessionField) {
		if session != leader {
			continue
		}
		if id, err := proc.Identify(pid); err == nil && id.Alive() {
			all = append(all, id)
		}
	}
	return all
}

// tree lists the process and all that descend from it, those first that were there first.
func tree(root proc.ID) []proc.ID {
	if !root.Alive() {
		return nil
	}
	children := map[int][]int{}
	for pid, parent := range stats(parentField) {
		children[parent] = append(children[parent], pid)
	}
	found := []proc.ID{root}
	for i := 0; i < len(found); i++ {
		for _, pid := range children[found[i].PID] {
			if id, err := proc.Identify(pid); err == nil && id.Alive() {
				found = append(found, id)
			}
		}
	}
	return found
}

// freeze stops the tree, until a look finds nobody in it that is not stopped: what is stopped begets nobody.
func freeze(ctx context.Context, root proc.ID) ([]proc.ID, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, proc.KillTimeout, errors.New("it begets processes faster than they can be stopped"))
	defer cancel()
	var all []proc.ID // also those that have left the tree since, by the end of who begot them
	for {
		now, still := tree(root), 0
		for _, id := range now {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
			if !id.Stopped() {
				still++
				if err := id.Signal(syscall.SIGSTOP); err != nil {
					return all, err
				}
			}
		}
		switch {
		case len(now) == 0:
			return all, fmt.Errorf("process %d has ended", root.PID)
		case still == 0:
			return all, nil
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return all, context.Cause(ctx)
		}
	}
}
