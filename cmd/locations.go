package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gwdr/backup"
	"gwdr/backup/blob"
	"gwdr/backup/dir"
	"gwdr/backup/s3"
	"gwdr/backup/sftp"
)

// openCopies returns the configured locations, those at the gateway's own site first; or the lab's, when nothing is
// configured.
func (a *app) openCopies(ctx context.Context) ([]backup.Copy, error) {
	if a.labLocations() {
		if err := a.checkNamed(); err != nil {
			return nil, err
		}
		return labCopies(ctx, a.Config.LabDir())
	}
	if len(a.Config.Locations) == 0 {
		return nil, withHint(usageError(errors.New("no locations are configured")), "'gwdr init --location NAME=URL' writes a configuration")
	}
	var copies []backup.Copy
	for _, name := range slices.Sorted(maps.Keys(a.Config.Locations)) {
		c, err := a.openCopy(ctx, name, a.Config.Locations[name])
		if err != nil {
			return nil, usageError(err)
		}
		copies = append(copies, c)
	}
	slices.SortStableFunc(copies, func(x, y backup.Copy) int {
		return cmp.Compare(distance(x, a.Config.Policy.Site), distance(y, a.Config.Policy.Site))
	})
	return copies, nil
}

func distance(c backup.Copy, site string) int {
	if c.Site == site {
		return 0
	}
	return 1
}

// labLocations reports whether the lab's own locations are used.
func (a *app) labLocations() bool { return a.Config.Lab() && len(a.Config.Locations) == 0 }

// checkNamed refuses a configuration that somebody named, and that would come to the lab: he means backups of his own, and
// under --quiet nothing would tell him.
func (a *app) checkNamed() error {
	if a.Config.Named && len(a.Config.Locations) > 0 && a.Config.Gateway == "" {
		return withHint(usageError(fmt.Errorf("%s names locations, but no gateway", a.Config.File)),
			"gateway: gwdr+http://127.0.0.1:8081 in gwdr.yaml, or GWDR_GATEWAY, names it; the lab is not backed up among others")
	}
	if !a.Config.Named || !a.labLocations() {
		return nil
	}
	return withHint(usageError(fmt.Errorf("%s names no gateway and no location", a.Config.File)),
		"'gwdr init --file FILE' writes a configuration; for the lab's backups leave --config and GWDR_CONFIG out")
}

// noteLab says whose backups these are where nobody has named any: the lab's look like others.
func (a *app) noteLab() {
	switch {
	case !a.labLocations():
	case a.Config.File == "":
		a.progress("no gwdr.yaml here: these are the lab's backups")
	default:
		a.progress("%s names no gateway and no location: these are the lab's backups", a.Config.File)
	}
}

// openCopy opens one configured location. It sends nothing yet.
func (a *app) openCopy(ctx context.Context, name string, c LocationConfig) (backup.Copy, error) {
	opened := backup.Copy{Name: name, URL: c.URL, Media: c.Media, Site: c.Site}
	scheme, _, _ := strings.Cut(c.URL, ":")
	var err error
	switch scheme {
	case "file":
		opened.Location, err = openDir(c)
	case "s3":
		opened.Location, err = a.openS3(ctx, name, c)
	case blob.Google, blob.Azure:
		opened.Location, err = a.openBlob(name, c)
	case "sftp":
		opened.Location, err = a.openSFTP(c)
	default: // the URL itself may hold a password
		err = errors.New("its URL is none of file:///DIRECTORY, sftp://USER@HOST/DIRECTORY, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, azblob://CONTAINER/PREFIX")
	}
	if err != nil {
		return backup.Copy{}, fmt.Errorf("location %s: %w", name, err)
	}
	return opened, nil
}

func openDir(c LocationConfig) (backup.Location, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host != "" || u.RawQuery != "" || !filepath.IsAbs(u.Path) {
		return nil, errors.New("its URL is not of the form file:///DIRECTORY")
	}
	if c.Lock != "" {
		return nil, errors.New("a directory cannot be locked; lock is for s3 locations")
	}
	return &dir.Location{Dir: filepath.Clean(u.Path)}, nil
}

func (a *app) openS3(ctx context.Context, name string, c LocationConfig) (backup.Location, error) {
	options, err := s3.ParseURL(c.URL)
	if err != nil {
		return nil, err
	}
	if options.Lock, err = s3.ParseLock(c.Lock); err != nil {
		return nil, err
	}
	if options.DialContext, err = a.labDialer(name); err != nil {
		return nil, err
	}
	return s3.Open(ctx, options)
}

func (a *app) openBlob(name string, c LocationConfig) (backup.Location, error) {
	options, err := blob.ParseURL(c.URL)
	if err != nil {
		return nil, err
	}
	if c.Lock != "" {
		return nil, errors.New("lock is for s3 locations; here the bucket's own retention protects objects")
	}
	if options.Scheme == blob.Azure { // the names that Azure's own tools read
		options.Account = cmp.Or(options.Account, a.Env("AZURE_STORAGE_ACCOUNT"))
		options.Key, options.SAS = blob.Secret(a.Env("AZURE_STORAGE_KEY")), blob.Secret(a.Env("AZURE_STORAGE_SAS_TOKEN"))
	}
	if options.DialContext, err = a.labDialer(name); err != nil {
		return nil, err
	}
	return blob.Open(options), nil
}

// openSFTP finds keys and known hosts where ssh does, unless the URL names them.
func (a *app) openSFTP(c LocationConfig) (backup.Location, error) {
	if c.Lock != "" {
		return nil, errors.New("a directory cannot be locked; lock is for s3 locations")
	}
	options, err := sftp.ParseURL(c.URL)
	if err != nil {
		return nil, err
	}
	options.Key, options.KnownHosts = a.besideConfig(options.Key), a.besideConfig(options.KnownHosts)
	options.Agent = a.Env("SSH_AUTH_SOCK")
	if home := a.Env("HOME"); home != "" {
		ssh := filepath.Join(home, ".ssh")
		options.KnownHosts = cmp.Or(options.KnownHosts, filepath.Join(ssh, "known_hosts"))
		options.DefaultKeys = []string{filepath.Join(ssh, "id_ed25519"), filepath.Join(ssh, "id_rsa")}
	}
	if options.KnownHosts == "" { // never one of the working directory
		return nil, errors.New("its URL names no known_hosts, and HOME is not set")
	}
	return sftp.Open(options), nil
}

// besideConfig returns the path, in the directory of the configuration unless it is absolute or there is none.
func (a *app) besideConfig(path string) string {
	if path == "" || filepath.IsAbs(path) || a.Config.File == "" {
		return path
	}
	return filepath.Join(filepath.Dir(a.Config.File), path)
}

// trustHint is the next step if the error is that a server did not show a host key that is trusted; empty otherwise.
func trustHint(err error) string {
	e := (*sftp.HostKeyError)(nil)
	if !errors.As(err, &e) || e.Revoked {
		return ""
	}
	host, port, _ := net.SplitHostPort(e.Host)
	known := shellWord(host)
	if port != "22" {
		known = `"[` + host + `]:` + port + `"`
	}
	scan := fmt.Sprintf("'ssh-keyscan -p %s %s >>%s'", port, shellWord(host), shellWord(e.KnownHosts))
	if e.Changed {
		return fmt.Sprintf("a new key, or somebody in between? If its owner confirms the new key: 'ssh-keygen -R %s -f %s', then %s",
			known, shellWord(e.KnownHosts), scan)
	}
	return fmt.Sprintf("compare the fingerprint with what the server's owner says, then %s", scan)
}

// labSite is where the lab's gateway is said to be.
const labSite = "dc1"

// labCopies returns the three locations of the lab in labDir: directories that stand for a disk, a NAS and an object
// store elsewhere. One that a drill keeps everybody out of says so itself when it is used, and does not stand in the way of the others.
func labCopies(ctx context.Context, labDir string) ([]backup.Copy, error) {
	if _, err := os.Stat(labDir); err != nil {
		return nil, withHint(fmt.Errorf("open the lab's locations: %w", err),
			"start a lab with 'gwdr lab up', or name your gateway and its locations in gwdr.yaml ('gwdr init')")
	}
	copies := []backup.Copy{
		{Name: "local", Media: "disk", Site: labSite},
		{Name: "nas", Media: "nas", Site: labSite},
		{Name: "offsite", Media: "object", Site: "dc2"},
	}
	for i, c := range copies {
		l := &dir.Location{Dir: filepath.Join(labDir, "locations", c.Name)}
		if err := l.Init(ctx); err != nil && !errors.Is(err, syscall.ENOTDIR) {
			return nil, err
		}
		copies[i].URL, copies[i].Location = "file://"+l.Dir, l
	}
	return copies, nil
}

// backupPolicy is the configured 3-2-1 rule. On the lab's own locations it is simulated.
func (a *app) backupPolicy() backup.Policy {
	c := a.Config.Policy
	p := backup.Policy{Site: c.Site, Copies: c.Copies, Media: c.Media, Offsite: c.Offsite, Immutable: c.Immutable,
		MaxAge: c.MaxAge, MaxScrub: c.MaxScrub}
	if a.labLocations() {
		p.Site, p.Simulated = labSite, true
	}
	return p
}
