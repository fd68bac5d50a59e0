//go:build !linux

package netns

import "errors"

var errNoLinux = errors.New("network namespaces need Linux")

func inode(string) (uint64, error) { return 0, errNoLinux }

func within(string, func() error) error { return errNoLinux }
