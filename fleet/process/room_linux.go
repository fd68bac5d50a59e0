package process

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"gwdr/fleet"
)

// room is a small file system of its own for one store. It is mounted in a mount namespace that only one thread of this process
// has, and what that thread starts: nobody else sees it, and it is gone with this process, however that ends.
type room struct {
	spawn spawner
	jobs  chan func()
	over  chan struct{} // closed once the thread is about to end

	closed bool
}

// refuseFull says that disks cannot be mounted here.
func refuseFull(fleet.Fault) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fmt.Errorf("%w: %w", fleet.ErrUnsupported, err)
	}
	_, rest, _ := bytes.Cut(status, []byte("\nCapEff:"))
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return fmt.Errorf("%w: /proc/self/status names no capabilities", fleet.ErrUnsupported)
	}
	if caps, err := strconv.ParseUint(string(fields[0]), 16, 64); err != nil || caps&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return fmt.Errorf("%w: a disk that is full has to be mounted, which needs root (CAP_SYS_ADMIN)", fleet.ErrUnsupported)
	}
	return nil
}

// openRoom starts the thread.
func openRoom() (*room, error) {
	r := &room{spawn: make(spawner), jobs: make(chan func()), over: make(chan struct{})}
	started := make(chan error)
	go func() {
		defer close(r.over)
		runtime.LockOSThread() // and never unlocked: the thread ends with this function, and its namespace with it
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "")
		}
		started <- err
		for err == nil {
			select {
			case next := <-r.spawn:
				next.err <- next.cmd.Start()
			case job, more := <-r.jobs:
				if !more {
					return
				}
				job()
			}
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("make a mount namespace: %w", err)
	}
	return r, nil
}

// do runs f in the thread, which sees the disk.
func (r *room) do(f func() error) error {
	done := make(chan error, 1)
	r.jobs <- func() { done <- f() }
	return <-done
}

// close ends the thread. What it has started must have ended.
func (r *room) close() {
	close(r.jobs)
	<-r.over
	r.closed = true
}

// move copies the store to a disk of its own, and mounts that in its place. The disk is memory: of that it may take up a quarter
// of what is free.
func (r *room) move(store string) error {
	free, err := freeBytes()
	if err != nil {
		return err
	}
	return r.do(func() error {
		aside := store + ".disk"
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return err
		}
		if err := unix.Mount("gwdr", aside, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, sized(uint64(free)/4)); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		err = copyTree(store, aside)
		if err == nil {
			err = unix.Mount(aside, store, "", unix.MS_BIND, "")
		}
		return errors.Join(err, unix.Unmount(aside, unix.MNT_DETACH), os.Remove(aside))
	})
}

func sized(bytes uint64) string { return fmt.Sprintf("mode=0700,size=%d", bytes) }

// shrink makes the disk as small as what is on it. More may be written meanwhile, which makes the kernel refuse.
func (r *room) shrink(store string) error {
	return r.do(func() error {
		var err error
		for range 100 {
			var disk unix.Statfs_t
			if err := unix.Statfs(store, &disk); err != nil {
				return err
			}
			used := (disk.Blocks - disk.Bfree) * uint64(disk.Bsize)
			if err = unix.Mount("", store, "", unix.MS_REMOUNT|unix.MS_NOSUID|unix.MS_NODEV, sized(used)); err == nil {
				return nil
			}
		}
		return fmt.Errorf("shrink the disk: %w", err)
	})
}

// squeeze takes back what was reserved on the disk and holds only zeros, such as the rest of a log. Nobody may write meanwhile.
func (r *room) squeeze(store string) error {
	return r.do(func() error {
		return filepath.WalkDir(store, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			return punch(path)
		})
	})
}

// punch makes holes of all blocks of the file that hold only zeros.
func punch(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return eachBlock(file, func(at int64, b []byte) error {
		if !zeros(b) {
			return nil
		}
		return unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, int64(len(b)))
	})
}

// save copies what is on the disk to where nothing is mounted, and unmounts it. Nobody may write any more. It may be called
// again after an error.
func (r *room) save(store, saved string) error {
	return r.do(func() error {
		real, err := filepath.EvalSymlinks(store)
		if err != nil || !isMountpoint("thread-self", real) {
			return err
		}
		part := saved + ".part"
		err = errors.Join(os.RemoveAll(part), os.RemoveAll(saved)) // what an earlier attempt has left
		if err == nil {
			err = copyTree(store, part)
		}
		if err == nil {
			err = os.Rename(part, saved)
		}
		if err == nil {
			err = syncDir(filepath.Dir(saved))
		}
		if err == nil {
			err = unix.Unmount(store, 0)
		}
		return err
	})
}

// isMountpoint reports whether something is mounted at the path, which leads over no symbolic links, for the thread, named as
// below /proc.
func isMountpoint(thread, path string) bool {
	mounts, err := os.ReadFile(filepath.Join("/proc", thread, "mountinfo"))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(mounts) {
		if fields := bytes.Fields(line); len(fields) > 4 && unescape(fields[4]) == path {
			return true
		}
	}
	return false
}

// unescape reads a path of mountinfo: space, tab, line feed and backslash are written in octal (proc_pid_mountinfo(5)).
func unescape(path []byte) string {
	for char, octal := range map[string]string{" ": `\040`, "\t": `\011`, "\n": `\012`} {
		path = bytes.ReplaceAll(path, []byte(octal), []byte(char))
	}
	return string(bytes.ReplaceAll(path, []byte(`\134`), []byte(`\`)))
}

// mountedBy returns the path at which everybody can see what a thread of the process has mounted at path. The error wraps
// fs.ErrNotExist if no thread has.
func mountedBy(pid int, path string) (string, error) {
	path, err := filepath.EvalSymlinks(path) // a link would lead back from below /proc to where everybody is
	if err != nil {
		return "", err
	}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return "", err
	}
	for _, thread := range threads {
		if isMountpoint(thread[len("/proc/"):], path) {
			return filepath.Join(thread, "root", path), nil
		}
	}
	return "", fmt.Errorf("process %d has mounted nothing at %s: %w", pid, path, fs.ErrNotExist)
}

// noRoom returns nil if a byte written to a new file in dir finds no space left.
func noRoom(dir string) error {
	f, err := os.CreateTemp(dir, ".room-*")
	if err != nil {
		return err
	}
	_, err = f.Write([]byte{1})
	if cleanup := errors.Join(f.Close(), os.Remove(f.Name())); cleanup != nil {
		return cleanup
	}
	if !errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("writing a byte gives: %v", err)
	}
	return nil
}
