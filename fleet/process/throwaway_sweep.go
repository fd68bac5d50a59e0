package process

import (
	"os"
	"path/filepath"
	"syscall"
)

// throwawayPrefix begins the names of the directories.
const throwawayPrefix = "gwdr-throwaway-"

// claim locks the directory: whoever finds one that nobody holds may remove it.
func (t *Throwaway) claim() (err error) {
	name := layout(t.dir).lock()
	if t.lock, err = os.OpenFile(name+".new", os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if err := syscall.Flock(int(t.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	return os.Rename(name+".new", name) // nobody sees it unlocked
}

// sweepThrowaways removes the directories of this user in tmp that were claimed by processes which are gone: they hold what was
// restored. One that cannot be removed stays; it is no reason not to start another.
func sweepThrowaways(tmp string) {
	dirs, err := filepath.Glob(filepath.Join(tmp, throwawayPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !ownedByUs(info) {
			continue
		}
		lock, err := os.OpenFile(layout(dir).lock(), os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.RemoveAll(dir)
		}
		lock.Close()
	}
}

func ownedByUs(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Getuid()
}
