package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode returns which namespace has the name, and refuses the initial one and gwdr's own.
func inode(name string) (uint64, error) {
	at, err := statOf(path(name))
	if err != nil {
		return 0, fmt.Errorf("namespace %s: %w", name, err)
	}
	ours, err := statOf("/proc/self/ns/net")
	if err != nil || ours.Ino == at.Ino && ours.Dev == at.Dev {
		return 0, errors.Join(fmt.Errorf("namespace %s is that of gwdr: %w", name, errNeverBroken), err)
	}
	return at.Ino, nil
}

var errNeverBroken = errors.New("it is never broken")

// initialCookie is that of the namespace that the machine was started with: the kernel counts them from it on
// (net/core/net_namespace.c, SO_NETNS_COOKIE since Linux 5.14). Where /proc/1 is may be another one, as in a container.
const initialCookie = 1

// notInitial returns an error if this thread is in the initial namespace, or cannot know.
func notInitial() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	switch {
	case err != nil:
		return fmt.Errorf("ask which namespace it is, which takes Linux 5.14: %w", err)
	case cookie == initialCookie:
		return fmt.Errorf("it is that of the machine: %w", errNeverBroken)
	}
	return nil
}

func statOf(name string) (*syscall.Stat_t, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	return info.Sys().(*syscall.Stat_t), nil
}

// within calls do in a namespace: what it starts and dials is there. Its thread is thrown away afterwards.
func within(name string, do func() error) error {
	if name == "" {
		return do() // where gwdr is
	}
	if _, err := inode(name); err != nil {
		return err
	}
	file, err := os.Open(path(name))
	if err != nil {
		return err
	}
	defer file.Close()
	return elsewhere(int(file.Fd()), name, do)
}

// elsewhere calls do on a thread that is not the first one: that one would not end, and it is what /proc/self/ns shows.
func elsewhere(space int, name string, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() {
			defer runtime.UnlockOSThread()
			done <- elsewhere(space, name, do) // this thread is taken meanwhile
			return
		}
		if err := unix.Setns(space, unix.CLONE_NEWNET); err != nil {
			done <- fmt.Errorf("enter namespace %s: %w", name, err)
			return
		}
		if err := notInitial(); err != nil {
			done <- fmt.Errorf("namespace %s: %w", name, err)
			return
		}
		done <- do()
	}()
	return <-done
}
