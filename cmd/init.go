package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
)

type initOptions struct {
	file      string
	keys      string
	state     string
	gateway   string
	site      string
	locations []string
}

func newInitCommand(a *app) *cobra.Command {
	var opts initOptions
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a configuration and keys, and prepare the locations",
		Long: `Writes gwdr.yaml and new keys, prepares and tests the locations, and says what to store where. It never overwrites
anything: what is there already is an error.

A location is NAME=URL, with its media, site and lock after commas. URLs are:
  file:///DIRECTORY
  sftp://USER@HOST:PORT/DIRECTORY?key=FILE&known_hosts=FILE
  s3://BUCKET/PREFIX?endpoint=URL&region=REGION&profile=NAME
  gs://BUCKET/PREFIX?endpoint=URL
  azblob://CONTAINER/PREFIX?account=NAME&endpoint=URL
Credentials are never in a URL: they come from the environment, as for every tool of the cloud. For azblob that is
AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN, or what you are logged in as. lock is for s3; gs and azblob have theirs at the
bucket. SFTP uses the key that is named, or else those of the ssh-agent, ~/.ssh/id_ed25519 and ~/.ssh/id_rsa; the server's
host key must be in the file known_hosts (default ~/.ssh/known_hosts). It reads no ssh_config.`,
		Example: `  gwdr init
  gwdr init --gateway gwdr+http://127.0.0.1:8081 --site dc1 \
    --location local=file:///var/backups/gwdr,media=disk,site=dc1 \
    --location nas=sftp://backup@nas/volume1/gwdr,media=nas,site=dc1 \
    --location 'offsite=s3://gwdr-prod/eu?region=eu-west-1,lock=compliance/30d'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInit(cmd.Context(), a, opts) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.file, "file", "gwdr.yaml", "configuration `file` to write")
	flags.StringVar(&opts.keys, "keys", "", "`directory` to make for the keys (default gwdr-keys beside the configuration)")
	flags.StringVar(&opts.state, "state", "", "`directory` for what has to stay from run to run, whoever runs gwdr (default /var/lib/gwdr for a configuration in /etc, or else as without one)")
	flags.StringVar(&opts.gateway, "gateway", "gwdr+http://127.0.0.1:8081", "`driver+URL` of the gateway")
	flags.StringVar(&opts.site, "site", "here", "`name` of the site where the gateway is: locations elsewhere are off-site")
	flags.StringArrayVar(&opts.locations, "location", nil, "`location` to keep copies at, as NAME=URL[,media=..][,site=..][,lock=..]; repeatable (default: one directory beside the configuration)")
	return cmd
}

// initResult is the contract gwdr/init/v1.
type initResult struct {
	Schema    string              `json:"schema"`
	File      string              `json:"config"`
	Keys      string              `json:"keys"`
	State     string              `json:"state"`
	Locations []initLocation      `json:"locations"`
	Policy    backup.PolicyResult `json:"policy"` // as if every location held a backup
	Cron      string              `json:"cron"`
	Checks    []string            `json:"cron_checks"` // status and verification, for cron too
}

type initLocation struct {
	Name       string `json:"name"`
	URL        string `json:"url"`
	Media      string `json:"media"`
	Site       string `json:"site"`
	Domain     string `json:"domain"`
	CreateOnly bool   `json:"create_only"`
	Immutable  bool   `json:"immutable"`
	// Tests is what was tried.
	Tests []backup.Test `json:"tests"`
}

func runInit(ctx context.Context, a *app, opts initOptions) error {
	if err := opts.resolve(a.Config.State); err != nil {
		return err
	}
	for _, path := range []string{opts.file, opts.keys} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return withHint(exitWith(exitRefused, fmt.Errorf("initialise: %s is there already, and is not overwritten", path)),
				"move it away, or name another with --file and --keys")
		}
	}
	locations, err := opts.parseLocations()
	if err != nil {
		return usageError(err)
	}
	if _, err := parseGateway(opts.gateway); err != nil {
		return err
	}
	a.Config.File = opts.file // which paths in a location's URL will be relative to
	policy := initialPolicy(opts.site, locations)
	result, err := a.prepareLocations(ctx, locations, policy)
	if err != nil {
		return err
	}
	files, err := backup.GenerateKeys(opts.keys)
	if err != nil {
		return err
	}
	if err := writeNew(opts.file, configText(opts, locations, policy, files)); err != nil {
		return err
	}
	result.File, result.Keys, result.State = opts.file, opts.keys, opts.state
	lines := cronLines(a.Executable, opts.file)
	result.Cron, result.Checks = lines[0], lines[1:]
	return a.showInit(result)
}

// cronLines makes a backup every 15 minutes, as deploy/ does, looks how safe they are each day, and reads every byte back each week.
func cronLines(executable, config string) []string {
	var lines []string
	for _, job := range []struct{ when, what string }{
		{"*/15 * * * *", "backup"}, {"37 6 * * *", "backup status"}, {"17 3 * * 0", "backup verify --all --attest"},
	} {
		line := fmt.Sprintf("%s %s --config %s --quiet %s >/dev/null", job.when, shellWord(executable), shellWord(config), job.what)
		lines = append(lines, strings.ReplaceAll(line, "%", `\%`)) // which cron takes for the end of the line
	}
	return lines
}

// resolve makes the paths absolute, so that the configuration works from anywhere, and by any user: two with a spool of their
// own would be two writers. state is where it is kept without a configuration.
func (o *initOptions) resolve(state string) (err error) {
	if o.file, err = filepath.Abs(o.file); err != nil {
		return err
	}
	if o.keys == "" {
		o.keys = filepath.Join(filepath.Dir(o.file), "gwdr-keys")
	}
	if o.state == "" && strings.HasPrefix(o.file, "/etc/") {
		o.state = "/var/lib/gwdr" // as in deploy/
	}
	if o.keys, err = filepath.Abs(o.keys); err != nil {
		return err
	}
	o.state, err = filepath.Abs(cmp.Or(o.state, state))
	return err
}

// namedLocation is a location of the configuration that is being written.
type namedLocation struct {
	name string
	LocationConfig
}

func (o initOptions) parseLocations() ([]namedLocation, error) {
	if len(o.locations) == 0 {
		u := url.URL{Scheme: "file", Path: filepath.Join(filepath.Dir(o.file), "gwdr-backups")}
		return []namedLocation{{"local", LocationConfig{URL: u.String(), Media: "disk", Site: o.site}}}, nil
	}
	var locations []namedLocation
	for i, text := range o.locations {
		l, err := parseLocation(text)
		if err != nil {
			return nil, fmt.Errorf("--location number %d: %w", i+1, err) // the text may hold a password
		}
		if slices.ContainsFunc(locations, func(other namedLocation) bool { return other.name == l.name }) {
			return nil, fmt.Errorf("--location %s: there are two of this name", l.name)
		}
		locations = append(locations, l)
	}
	return locations, nil
}

// parseLocation reads NAME=URL[,media=..][,site=..][,lock=..].
func parseLocation(text string) (namedLocation, error) {
	parts := strings.Split(text, ",")
	name, address, _ := strings.Cut(parts[0], "=")
	l := namedLocation{name: strings.ToLower(name), LocationConfig: LocationConfig{URL: address}} // viper folds case
	if address == "" || !plainName(l.name) {
		return l, errors.New("not of the form NAME=URL, with a name of letters, digits, - and _")
	}
	for _, part := range parts[1:] {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "media":
			l.Media = value
		case "site":
			l.Site = value
		case "lock":
			l.Lock = value
		default:
			return l, errors.New("what follows a comma is none of media=, site= and lock=")
		}
	}
	return l, nil
}

// initialPolicy is 3-2-1 and all read back each week, with one immutable copy if there is a lock.
func initialPolicy(site string, locations []namedLocation) backup.Policy {
	p := backup.Policy{Site: site, Copies: 3, Media: 2, Offsite: 1, MaxAge: 2 * time.Hour, MaxScrub: 8 * 24 * time.Hour}
	if slices.ContainsFunc(locations, func(l namedLocation) bool { return l.Lock != "" }) {
		p.Immutable = 1
	}
	return p
}

// prepareLocations initialises and tests every location.
func (a *app) prepareLocations(ctx context.Context, locations []namedLocation, policy backup.Policy) (*initResult, error) {
	result := &initResult{Schema: "gwdr/init/v1"}
	var standings []backup.Standing
	for _, named := range locations {
		c, err := a.openCopy(ctx, named.name, named.LocationConfig)
		if err != nil {
			return nil, usageError(err)
		}
		l, err := prepareLocation(ctx, c)
		if err != nil {
			err = fmt.Errorf("prepare location %s: %w", c.Name, err)
			if hint := trustHint(err); hint != "" {
				err = withHint(err, "%s", hint)
			}
			return nil, err
		}
		result.Locations = append(result.Locations, l)
		standings = append(standings, backup.Standing{Copy: c, Domain: l.Domain, Immutable: l.Immutable, Holds: true, Newest: time.Now()})
	}
	result.Policy = backup.CheckPolicy(policy, standings, time.Now())
	return result, nil
}

// initializer is a Location that must be prepared before its first use. Init may be repeated: it changes nothing then.
type initializer interface {
	Init(ctx context.Context) error
}

func prepareLocation(ctx context.Context, c backup.Copy) (initLocation, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if i, ok := c.Location.(initializer); ok {
		if err := i.Init(ctx); err != nil {
			return initLocation{}, err
		}
	}
	l := initLocation{Name: c.Name, URL: c.URL, Media: c.Media, Site: c.Site, Tests: []backup.Test{}}
	prober, ok := c.Location.(backup.Prober)
	if !ok {
		return l, nil
	}
	capabilities, err := prober.Probe(ctx)
	if err != nil {
		return l, err
	}
	l.CreateOnly, l.Immutable, l.Tests = capabilities.CreateOnly, capabilities.Immutable, append(l.Tests, capabilities.Tests...)
	l.Domain, err = prober.Domain(ctx)
	return l, err
}

// writeNew writes a file that was not there.
func writeNew(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}

// shellWord quotes text for a shell if need be.
func shellWord(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:") == "" && text != "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
