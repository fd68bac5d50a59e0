package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/drills"
)

// The files that a report adds to the evidence of a run, beside drills.ReportFile and drills.ManifestFile.
const (
	AttestationFile = "attestation.dsse.json"
	HTMLFile        = "report.html"
)

// ManifestSchema heads the JSON of a Manifest.
const ManifestSchema = "gwdr/manifest/v1"

// Manifest lists the files of a run's evidence, by name.
type Manifest struct {
	Schema string `json:"schema"`
	Run    string `json:"run"`
	RunNo  int    `json:"run_no"`
	Files  []File `json:"files"`
}

// File is a file of the evidence. Name has no slash; SHA256 is lower-case hex of its bytes; Size is in bytes.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// derived reports whether the file is made from the evidence and is none itself.
func derived(name string) bool {
	return name == HTMLFile || outside(name)
}

// outside reports whether a manifest cannot list the file: itself, what signs it, and hidden files.
func outside(name string) bool {
	return name == drills.ManifestFile || name == AttestationFile || strings.HasSuffix(name, ".sig") || strings.HasPrefix(name, ".")
}

// hashFiles hashes the regular files in dir but those that skip names. A link or a directory is an error: evidence lies
// in one place.
func hashFiles(dir string, skip func(name string) bool) ([]File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("hash evidence: %w", err)
	}
	var files []File
	for _, e := range entries {
		if skip(e.Name()) {
			continue
		}
		if !e.Type().IsRegular() {
			return nil, fmt.Errorf("hash evidence: %s is not a regular file", filepath.Join(dir, e.Name()))
		}
		f, err := hashFile(dir, e.Name())
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

func hashFile(dir, name string) (File, error) {
	in, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return File{}, fmt.Errorf("hash evidence: %w", err)
	}
	defer in.Close()
	h := sha256.New()
	size, err := io.Copy(h, in)
	if err != nil {
		return File{}, fmt.Errorf("hash evidence: %w", err)
	}
	return File{Name: name, SHA256: hex.EncodeToString(h.Sum(nil)), Size: size}, nil
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
