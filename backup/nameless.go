package backup

import "os"

// unnamed makes a file whose name is taken away at once. A process that is killed just then leaves it behind.
func unnamed() (*os.File, error) {
	f, err := os.CreateTemp("", "gwdr-pack-*")
	if err != nil {
		return nil, err
	}
	os.Remove(f.Name())
	return f, nil
}
