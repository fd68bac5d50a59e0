package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

// Write adds the report to the evidence of a run that has ended: report.json, report.html, manifest.json and, signed by
// signer, attestation.dsse.json. Without a signer there is no attestation, and Verify will say so. What is there already
// is replaced, each file at once.
func Write(dir string, result *drills.Result, signer *sshsig.Signer) error {
	if err := writeFile(dir, drills.ReportFile, func(w io.Writer) error { return JSON(w, result) }); err != nil {
		return err
	}
	b, err := open(dir, result)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := writeFile(dir, HTMLFile, func(w io.Writer) error { return HTML(w, b) }); err != nil {
		return err
	}
	files, err := hashFiles(dir, outside)
	if err != nil {
		return err
	}
	m := Manifest{Schema: ManifestSchema, Run: result.ID, RunNo: result.RunNo, Files: files}
	manifest, err := marshal(m)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if err := writeBytes(dir, ManifestFile, manifest); err != nil || signer == nil {
		return err
	}
	attestation, err := seal(newStatement(result, m, hashOf(manifest)), signer)
	if err != nil {
		return err
	}
	return writeBytes(dir, AttestationFile, attestation)
}

// JSON writes the result as a document.
func JSON(w io.Writer, result *drills.Result) error {
	data, err := marshal(result)
	if err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	_, err = w.Write(data)
	return err
}

// marshal writes v as indented JSON with a newline at its end, as gwdr does everywhere.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return b.Bytes(), err
}

func writeBytes(dir, name string, data []byte) error {
	return writeFile(dir, name, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// writeFile replaces the file at once and durably, readable by its owner only.
func writeFile(dir, name string, content func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", name, err), f.Close(), os.Remove(f.Name()))
		}
	}()
	if err := content(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}
