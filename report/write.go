package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

// Write adds the report to the evidence of a run that has ended: report.json, report.html, manifest.json and, signed by
// signer, attestation.dsse.json. Without a signer there is no attestation, and Verify will say so. What is there already
// is replaced, each file at once: a run that was reverted later gets its report again. The error wraps ErrIntegrity if
// the evidence is no longer what the manifest before says, but for what a revert adds: that must not be signed anew. The manifest is
// written last: whoever is killed before has written no report, and drills.Unreported says so.
func Write(dir string, result *drills.Result, signer *sshsig.Signer) error {
	if err := unspoilt(dir); err != nil {
		return err
	}
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
	return attest(dir, Manifest{Schema: ManifestSchema, Run: result.ID, RunNo: result.RunNo}, claimOf(result), signer)
}

// attest lists the files of the evidence in a manifest and, if there is a signer, signs it with what it claims.
func attest(dir string, m Manifest, c claim, signer *sshsig.Signer) (err error) {
	if m.Files, err = hashFiles(dir, outside); err != nil {
		return err
	}
	manifest, err := marshal(m)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	if signer != nil {
		attestation, err := seal(newStatement(c, m, hashOf(manifest)), signer)
		if err == nil {
			err = writeBytes(dir, AttestationFile, attestation)
		}
		if err != nil {
			return err
		}
	}
	return writeBytes(dir, drills.ManifestFile, manifest) // the last: whoever was killed before has written no report
}

// unspoilt makes sure that the files of the manifest, if there is one, are as it says.
func unspoilt(dir string) error {
	var m Manifest
	if err := readJSON(filepath.Join(dir, drills.ManifestFile), &m); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("write report again: %w: %w", ErrIntegrity, err)
	}
	have, err := hashFiles(dir, outside)
	if err != nil {
		return fmt.Errorf("write report again: %w", err)
	}
	again := []string{drills.RevertFile, drills.GuardFile, drills.ReportFile, HTMLFile} // what a revert adds, and what is made of it
	for _, f := range m.Files {
		if !slices.Contains(again, f.Name) && !slices.Contains(have, f) {
			return fmt.Errorf("write report again: %w: %s is not what the manifest says", ErrIntegrity, f.Name)
		}
	}
	return nil
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
