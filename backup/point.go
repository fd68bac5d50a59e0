package backup

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"gwdr/internal/sshsig"
)

const (
	formatRoot  = "gwdr1/"
	pointSchema = "gwdr/point/v1"
	pointEnding = ".tar"
	packEnding  = ".tar.zst.age"
	pointsDir   = "points/"
	packsDir    = "packs/"
	attestDir   = "attest/"

	maxPoint   = 8 << 20   // bytes of a point object; 100 GiB of packs take 7 MB in it
	smallPoint = 256 << 10 // of larger ones a reader has one at a time of a location in its memory
)

// newID returns 128 random bits in hex.
func newID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// lineageRoot is the prefix of all objects of a lineage.
func lineageRoot(lineage string) string { return formatRoot + lineage + "/" }

// packName is the name of a pack's object within its lineage.
func packName(sum string) string { return packsDir + sum[:2] + "/" + sum + packEnding }

// Object returns the full name of the point's object at a location.
func (f Found) Object() string { return lineageRoot(f.Lineage) + f.Name + pointEnding }

// PackObject returns the full name of a pack's object at a location.
func (p Point) PackObject(pack Pack) string { return lineageRoot(p.Lineage) + packName(pack.SHA256) }

// Entities returns the number of entities in the point.
func (p Point) Entities() int {
	n := 0
	for _, k := range p.Counts {
		n += k
	}
	return n
}

// Size returns the size of the point's packs in bytes, as they are stored at each location.
func (p Point) Size() int64 {
	var n int64
	for _, pack := range p.Packs {
		n += pack.Size
	}
	return n
}

// pointName is the name of the point's object within its lineage, without the ending: UTC of the consistency point, the
// revision, and the start of the hash of point.json.
func pointName(p Point, sum string) string {
	return fmt.Sprintf("%s%s-%016x-%s", pointsDir, p.Time.UTC().Format("20060102T150405Z"), p.Revision, sum[:8])
}

// signPoint returns the point's object and what Find would say of it.
func signPoint(p Point, signer *sshsig.Signer) (object []byte, found Found) {
	content := indentedJSON(p)
	sum := hexSum(content)
	object = packTar(file{"point.json", content}, file{"point.json.sig", signer.Sign(PointNamespace, content)})
	return object, Found{Point: p, Name: pointName(p, sum), SHA256: sum}
}

// indentedJSON is the one form in which gwdr writes JSON that is signed: line by line, so that sed can read it.
func indentedJSON(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil { // nothing that is signed holds what JSON cannot
		panic("backup: encode " + err.Error())
	}
	return append(b, '\n')
}

// readPoint checks a point's object, found under the name, in every respect that needs no other object.
func readPoint(object []byte, lineage, name string, trusted sshsig.Trusted) (Found, error) {
	contents, err := unpackTar(object, "point.json", "point.json.sig")
	if err != nil {
		return Found{}, err
	}
	if _, err := trusted.AtAnyTime().Verify(PointNamespace, contents[0], contents[1]); err != nil { // before anything is read
		return Found{}, err
	}
	found := Found{Name: name, SHA256: hexSum(contents[0])}
	if err := json.Unmarshal(contents[0], &found.Point); err != nil {
		return Found{}, fmt.Errorf("read point.json: %w", err)
	}
	if err := found.Point.validate(); err != nil {
		return Found{}, err
	}
	if _, err := trusted.At(found.Time).Verify(PointNamespace, contents[0], contents[1]); err != nil {
		return Found{}, err
	}
	if found.Lineage != lineage || pointName(found.Point, found.SHA256) != name {
		return Found{}, errors.New("point is stored under the name of another")
	}
	return found, nil
}

// validate checks that the rest of the package can work with the point.
func (p Point) validate() error {
	if p.Schema != pointSchema {
		return fmt.Errorf("point has the schema %q, not %s", p.Schema, pointSchema)
	}
	if !isHex(p.Lineage, 16) || !isHex(p.Digest, 32) {
		return errors.New("point names no lineage or no digest")
	}
	if p.Log.Seq < 1 || !isHex(p.Log.SHA256, 32) || p.Base.Seq < 1 || p.Base.Seq > p.Log.Seq {
		return errors.New("point has no place in the log")
	}
	for _, pack := range p.Packs {
		if !isHex(pack.SHA256, 32) || pack.Count < 0 || pack.Raw < 0 || pack.Size <= 0 ||
			int64(len(pack.Blocks)) != (pack.Size+blockSize-1)/blockSize {
			return errors.New("point describes a pack that cannot be")
		}
	}
	return nil
}

// isHex reports whether text is n bytes in lower-case hex.
func isHex(text string, n int) bool {
	b, err := hex.DecodeString(text)
	return err == nil && len(b) == n && strings.ToLower(text) == text
}

// splitObject splits the full name of an object into its lineage and its name there.
func splitObject(object string) (lineage, name string, ok bool) {
	rest, ok := strings.CutPrefix(object, formatRoot)
	if !ok {
		return "", "", false
	}
	lineage, name, ok = strings.Cut(rest, "/")
	return lineage, name, ok && isHex(lineage, 16) && name != ""
}

// repo is repo.json in repo.tar: what one needs to know of a lineage before opening anything in it.
type repo struct {
	Schema     string   `json:"schema"` // gwdr/repo/v1
	Lineage    string   `json:"lineage"`
	Parent     string   `json:"parent,omitempty"`
	Store      string   `json:"store"`
	Recipients []string `json:"recipients"` // that could open the first point
	Signers    []string `json:"signers"`    // public keys, for information: trust comes from elsewhere
	// Files holds the sha256 of README.txt and restore.sh: somebody may run what lies there.
	Files map[string]string `json:"files,omitempty"`
	Tool  string            `json:"tool"`
}

const repoSchema = "gwdr/repo/v1"

func signRepo(r repo, signer *sshsig.Signer) []byte {
	content := indentedJSON(r)
	return packTar(file{"repo.json", content}, file{"repo.json.sig", signer.Sign(RepoNamespace, content)})
}

// readRepo checks a repo.tar.
func readRepo(object []byte, lineage string, trusted sshsig.Trusted) (repo, error) {
	contents, err := unpackTar(object, "repo.json", "repo.json.sig")
	if err != nil {
		return repo{}, err
	}
	if _, err := trusted.AtAnyTime().Verify(RepoNamespace, contents[0], contents[1]); err != nil { // it bears no date
		return repo{}, err
	}
	var r repo
	if err := json.NewDecoder(bytes.NewReader(contents[0])).Decode(&r); err != nil {
		return repo{}, fmt.Errorf("read repo.json: %w", err)
	}
	if r.Schema != repoSchema || r.Lineage != lineage {
		return repo{}, fmt.Errorf("repo.json is of %q, lineage %q", r.Schema, r.Lineage)
	}
	return r, nil
}
