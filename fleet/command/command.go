// Package command is what a user has named in gwdr.yaml to be run: a program with its arguments, found once, kept in undo records, and
// refused if others could have replaced it.
package command

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Command is a program with its arguments; none at all is none.
type Command struct {
	Args []string `json:"args"`
	// Files are the SHA-256 sums of those of the arguments that name a file by a path, the program first of all: scripts that
	// an interpreter is given, too.
	Files map[string]string `json:"files"`
}

// Find makes the program's path absolute, and sums up the files. The program is named by its path, relative to dir, where it is to
// run, or by its name in path, which is as the variable PATH. The error says what cannot be run, or is not to be trusted.
func Find(dir, path string, args []string) (Command, error) {
	if len(args) == 0 {
		return Command{}, nil
	}
	found := Command{Args: slices.Clone(args), Files: map[string]string{}}
	program, err := find(dir, path, args[0])
	if err != nil {
		return Command{}, err
	}
	found.Args[0] = program
	for i, arg := range found.Args {
		file := arg
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		if info, err := os.Stat(file); i > 0 && (!strings.ContainsRune(arg, '/') || err != nil || !info.Mode().IsRegular()) {
			continue
		}
		if found.Files[file], err = digest(file); err != nil {
			return Command{}, err
		}
	}
	return found, found.Trusted()
}

func find(dir, path, name string) (string, error) {
	if !strings.ContainsRune(name, '/') {
		return inPath(name, path)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	_, err := exec.LookPath(name)
	if named := (*exec.Error)(nil); errors.As(err, &named) {
		err = named.Err
	}
	if err != nil {
		return "", fmt.Errorf("%s cannot be run: %w", name, err)
	}
	return name, nil
}

func inPath(name, path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("there is no variable PATH to look for %s in", name)
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // it would be another one elsewhere
		}
		if full, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return full, nil
		}
	}
	return "", fmt.Errorf("there is no program %s in %s", name, path)
}

// Trusted refuses files that others than their owner can replace: gwdr would run what they want, as whoever runs gwdr. It
// counts what the files are by now.
func (c Command) Trusted() error {
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

// Changed names the files that are not what they were.
func (c Command) Changed() []string {
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

// Environment returns the variables that every command gets, KEY=VALUE, out of those of this process. None holds a secret.
func Environment(environ []string) []string {
	return Pick(environ, []string{"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "TZ", "TMPDIR"})
}

// Pick returns the variables of these names.
func Pick(environ, names []string) []string {
	var picked []string
	for _, variable := range environ {
		if name, _, _ := strings.Cut(variable, "="); slices.Contains(names, name) {
			picked = append(picked, variable)
		}
	}
	return picked
}

// Path returns the value of the variable PATH, or "".
func Path(environ []string) string {
	for _, variable := range environ {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok {
			return path
		}
	}
	return ""
}
