package exec

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// commands are the fleet's, as they are kept in undo records: whoever reverts runs them as they were.
type commands struct {
	Dir       string        `json:"dir"` // where they run
	Timeout   time.Duration `json:"timeout_ns"`
	Base      []string      `json:"base"`           // KEY=VALUE
	Pass      []string      `json:"pass,omitempty"` // names only
	List      command       `json:"list"`
	Inject    command       `json:"inject"`
	Verify    command       `json:"verify"`
	Revert    command       `json:"revert"`
	Renew     command       `json:"renew,omitzero"`
	Leftovers command       `json:"leftovers,omitzero"`
}

// command is a program with its arguments.
type command struct {
	Args []string `json:"args"`
	// Files are the SHA-256 sums of those of the arguments that name a file by a path, the program first of all: scripts that
	// an interpreter is given, too.
	Files map[string]string `json:"files"`
}

// find makes the program's path absolute, and sums up the files.
func (c commands) find(args []string) (command, error) {
	if len(args) == 0 {
		return command{}, nil
	}
	found := command{Args: slices.Clone(args), Files: map[string]string{}}
	program, err := c.program(args[0])
	if err != nil {
		return command{}, err
	}
	found.Args[0] = program
	for i, arg := range found.Args {
		path := arg
		if !filepath.IsAbs(path) {
			path = filepath.Join(c.Dir, path)
		}
		if info, err := os.Stat(path); i > 0 && (!strings.ContainsRune(arg, '/') || err != nil || !info.Mode().IsRegular()) {
			continue
		}
		if found.Files[path], err = digest(path); err != nil {
			return command{}, err
		}
	}
	return found, found.trusted()
}

// program finds the program: by its path, relative to where it is to run, or by its name in PATH.
func (c commands) program(name string) (string, error) {
	if !strings.ContainsRune(name, '/') {
		for _, variable := range c.Base {
			if path, ok := strings.CutPrefix(variable, "PATH="); ok {
				return inPath(name, path)
			}
		}
		return "", fmt.Errorf("there is no variable PATH to look for %s in", name)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(c.Dir, name)
	}
	_, err := osexec.LookPath(name)
	if exec := (*osexec.Error)(nil); errors.As(err, &exec) {
		err = exec.Err
	}
	if err != nil {
		return "", fmt.Errorf("%s cannot be run: %w", name, err)
	}
	return name, nil
}

func inPath(name, path string) (string, error) {
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // it would be another one elsewhere
		}
		if full, err := osexec.LookPath(filepath.Join(dir, name)); err == nil {
			return full, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in %s", name, path)
}

// trusted refuses files that others than their owner can replace: gwdr would run what they want, as whoever runs gwdr. It
// counts what the files are by now.
func (c command) trusted() error {
	for path := range c.Files {
		if err := trusted(path, os.Geteuid()); err != nil {
			return err
		}
	}
	return nil
}

// trusted looks at the file, at what it is a link to, and at every directory on the way.
func trusted(path string, user int) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	for _, at := range []string{path, real} {
		for ; ; at = filepath.Dir(at) {
			info, err := os.Stat(at)
			if err != nil {
				return err
			}
			if why := replaceable(info, user); why != "" {
				return fmt.Errorf("%s is not to be trusted: %s %s; chmod go-w or chown it", path, at, why)
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return nil
}

// replaceable says who else can write a file, or put another into a directory. In one like /tmp, only the owner of a file can
// replace it. A group is trusted by who is in it, and by root only if it is root's own.
func replaceable(info fs.FileInfo, user int) string {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	sticky := info.IsDir() && info.Mode()&fs.ModeSticky != 0
	switch {
	case stat.Uid != 0 && int(stat.Uid) != user:
		return fmt.Sprintf("belongs to user %d", stat.Uid)
	case info.Mode().Perm()&0o002 != 0 && !sticky:
		return "can be written by everybody"
	case info.Mode().Perm()&0o020 != 0 && !sticky && user == 0 && stat.Gid != 0:
		return fmt.Sprintf("can be written by group %d", stat.Gid)
	}
	return ""
}

// changed names the files that are not what they were.
func (c command) changed() []string {
	var changed []string
	for path, sum := range c.Files {
		if now, err := digest(path); err != nil || now != sum {
			changed = append(changed, path)
		}
	}
	slices.Sort(changed)
	return changed
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) { // it may be run all the same
		return "", nil
	} else if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
