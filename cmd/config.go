package cmd

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"
)

// Config is gwdr.yaml. Precedence: flags, GWDR_* variables, gwdr.yaml, defaults.
type Config struct {
	Gateway   string                    `mapstructure:"gateway"`    // driver+URL; empty means the lab
	TokenFile string                    `mapstructure:"token_file"` // holds the admin token for the gateway
	State     string                    `mapstructure:"state"`      // directory for the lab, the spool and generated keys
	Evidence  string                    `mapstructure:"evidence"`   // directory that drills write to
	Locations map[string]LocationConfig `mapstructure:"locations"`
	Policy    PolicyConfig              `mapstructure:"policy"`
	Keys      KeysConfig                `mapstructure:"keys"`
	Fleets    map[string]FleetConfig    `mapstructure:"fleets"`
	Ping      PingConfig                `mapstructure:"ping"`
	Probe     ProbeConfig               `mapstructure:"probe"`
	Safety    SafetyConfig              `mapstructure:"safety"`
	Notify    NotifyConfig              `mapstructure:"notify"`
	// MetricsFile is written by each backup, for node_exporter's textfile collector.
	MetricsFile string `mapstructure:"metrics_file"`

	File  string   `mapstructure:"-"` // the file that was read, absolute, or empty
	Named bool     `mapstructure:"-"` // File was named by --config or GWDR_CONFIG
	keys  []string // all that there are, also those of the locations that are named
}

// LocationConfig is one place that keeps copies.
type LocationConfig struct {
	URL   string `mapstructure:"url"` // as cmd/init.go lists them
	Media string `mapstructure:"media"`
	Site  string `mapstructure:"site"`
	Lock  string `mapstructure:"lock"` // compliance/30d, governance/7d
	// Pruner is the URL to prune by, with credentials that may delete, which those of URL should not.
	Pruner string `mapstructure:"pruner"`
}

// PolicyConfig is the 3-2-1 rule.
type PolicyConfig struct {
	Site      string        `mapstructure:"site"`
	Copies    int           `mapstructure:"copies"`
	Media     int           `mapstructure:"media"`
	Offsite   int           `mapstructure:"offsite"`
	Immutable int           `mapstructure:"immutable"`
	MaxAge    time.Duration `mapstructure:"maxage"`
	MaxScrub  time.Duration `mapstructure:"maxscrub"` // since each location was last read back whole
}

// KeysConfig names the keys; identity, signing, trusted and passphrase_file are files.
type KeysConfig struct {
	Recipients     []string `mapstructure:"recipients"`
	Identity       []string `mapstructure:"identity"` // one, a list, or several with commas between them
	Signing        string   `mapstructure:"signing"`
	Trusted        string   `mapstructure:"trusted"`
	PassphraseFile string   `mapstructure:"passphrase_file"` // the passphrase of those of the files that have one
}

// PingConfig names a monitor that learns of each backup.
type PingConfig struct {
	URL string `mapstructure:"url"` // a secret: whoever knows it can say that all is well
}

// ProbeConfig says how a restore is proven at the data planes.
type ProbeConfig struct {
	URLs []string `mapstructure:"urls"` // as --probe takes them
	Keys string   `mapstructure:"keys"` // file of API keys, one a line
}

// FleetConfig is a fleet that drills may break. Which of the keys mean something, its driver says.
type FleetConfig struct {
	Driver  string `mapstructure:"driver"`   // of fleetDrivers
	Allow   bool   `mapstructure:"allow"`    // its instances may be broken
	URL     string `mapstructure:"url"`      // where clients come in
	KeyFile string `mapstructure:"key_file"` // holds the API key that probes with key: live send

	Label string `mapstructure:"label"` // docker: that the fleet's containers carry
	Host  string `mapstructure:"host"`  // docker: of the engine: unix:///path/to/docker.sock

	Kinds     []string      `mapstructure:"kinds"`     // exec: the faults that its commands can inject
	List      []string      `mapstructure:"list"`      // exec: a command and its arguments, as all that follow
	Inject    []string      `mapstructure:"inject"`    // exec
	Verify    []string      `mapstructure:"verify"`    // exec
	Revert    []string      `mapstructure:"revert"`    // exec
	Renew     []string      `mapstructure:"renew"`     // exec: optional
	Leftovers []string      `mapstructure:"leftovers"` // exec: optional
	Timeout   time.Duration `mapstructure:"timeout"`   // exec: of each command
	Env       []string      `mapstructure:"env"`       // exec: names of variables that they get besides

	Namespaces []NamespaceConfig `mapstructure:"namespaces"` // netns
	Processes  []ProcessConfig   `mapstructure:"processes"`  // host
}

// Lab reports whether gwdr works on the embedded lab: no gateway is configured.
func (c *Config) Lab() bool { return c.Gateway == "" }

// LabDir is where the lab keeps all its state.
func (c *Config) LabDir() string { return filepath.Join(c.State, "lab") }

// loadConfig reads the configuration. A file that was named must be there; the default places may be empty.
func loadConfig(file string, env func(string) string) (*Config, error) {
	v := viper.New()
	setDefaults(v, env)
	if file == "" {
		file = env("GWDR_CONFIG")
	}
	found, err := configFile(file, env)
	if err != nil {
		return nil, err
	}
	if found != "" {
		if err := readConfigFile(v, found); err != nil {
			return nil, err
		}
	}
	for _, key := range v.AllKeys() { // viper's own AutomaticEnv would bypass env
		if value := env(variable(key)); value != "" {
			v.Set(key, value)
		}
	}
	c := &Config{File: found, Named: file != "", keys: v.AllKeys()}
	if err := v.UnmarshalExact(c); err != nil {
		return nil, undecodable(v, found, env, err)
	}
	return c, c.resolve()
}

// variable is the environment's name of a key.
func variable(key string) string { return "GWDR_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) }

// readConfigFile reads the file. A path in it that is relative is so to the file's own directory, wherever gwdr runs.
func readConfigFile(v *viper.Viper, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := checkConfig(content); err != nil {
		return readError(file, err)
	}
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(content)); err != nil {
		return readError(file, err)
	}
	datesAsText(v)
	for _, key := range []string{"token_file", "state", "evidence", "metrics_file", "keys.identity", "keys.signing", "keys.trusted", "keys.passphrase_file", "probe.keys"} {
		if v.InConfig(key) {
			v.Set(key, besideFile(filepath.Dir(file), v.Get(key)))
		}
	}
	for name := range v.GetStringMap("fleets") {
		if key := "fleets." + name + ".key_file"; v.IsSet(key) {
			v.Set(key, besideFile(filepath.Dir(file), v.Get(key)))
		}
	}
	return nil
}

// besideFile returns the path, the list of them, or the several with commas between them, in dir unless absolute. What is
// neither is left for the decoder to refuse.
func besideFile(dir string, value any) any {
	join := func(path string) string {
		if path == "" || filepath.IsAbs(path) {
			return path
		}
		return filepath.Join(dir, path)
	}
	switch value := value.(type) {
	case string:
		parts := strings.Split(value, ",")
		for i, part := range parts {
			parts[i] = join(part)
		}
		return strings.Join(parts, ",")
	case []any:
		joined := slices.Clone(value)
		for i, item := range value {
			if text, ok := item.(string); ok {
				joined[i] = join(text)
			}
		}
		return joined
	}
	return value
}

// resolve makes the directories absolute, and refuses a policy that anything would meet.
func (c *Config) resolve() (err error) {
	if p := c.Policy; min(p.Copies, p.Media, p.Offsite, p.Immutable) < 0 || min(p.MaxAge, p.MaxScrub) < 0 {
		return errors.New("read configuration: a number of the policy is negative")
	} else if d := min(cmp.Or(p.MaxAge, time.Hour), cmp.Or(p.MaxScrub, time.Hour)); d < time.Second { // a bare number is one of nanoseconds
		return fmt.Errorf("read configuration: policy.maxAge and maxScrub need a unit, such as 2h: %s is too short", d)
	}
	if err := c.Safety.check(); err != nil {
		return err
	}
	if c.Notify.Timeout < time.Second || c.Notify.Timeout > 10*time.Minute {
		return fmt.Errorf("read configuration: notify.timeout %s must be from 1s to 10m", c.Notify.Timeout)
	}
	if c.State, err = filepath.Abs(c.State); err != nil {
		return fmt.Errorf("resolve state: %w", err)
	}
	if c.Evidence, err = filepath.Abs(c.Evidence); err != nil {
		return fmt.Errorf("resolve evidence: %w", err)
	}
	return nil
}

func setDefaults(v *viper.Viper, env func(string) string) {
	for key, value := range map[string]any{
		"gateway": "", "token_file": "", "state": stateDir(env), "evidence": "evidence",
		"locations": map[string]any{}, "fleets": map[string]any{}, "ping.url": "", "metrics_file": "", "probe.urls": []string{}, "probe.keys": "",
		"policy.site": "", "policy.copies": 3, "policy.media": 2, "policy.offsite": 1, "policy.immutable": 0,
		"policy.maxage": "0s", "policy.maxscrub": "0s",
		"safety.windows": []any{}, "safety.blackout": []any{}, "safety.protect": []any{},
		"notify.exec": []string{}, "notify.url": "", "notify.timeout": "10s",
		"keys.recipients": []string{}, "keys.identity": []string{}, "keys.signing": "", "keys.trusted": "", "keys.passphrase_file": "",
	} {
		v.SetDefault(key, value)
	}
}

// stateDir follows the XDG base directories.
func stateDir(env func(string) string) string {
	if dir := env("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "gwdr")
	}
	if home := env("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "gwdr")
	}
	return filepath.Join(os.TempDir(), "gwdr")
}

// configFile returns the file to read, or "" if none was named and none of the default places has one.
func configFile(named string, env func(string) string) (string, error) {
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("read configuration: %w", err)
		}
		return filepath.Abs(named)
	}
	user := env("XDG_CONFIG_HOME")
	if user == "" && env("HOME") != "" {
		user = filepath.Join(env("HOME"), ".config")
	}
	for _, file := range []string{"gwdr.yaml", filepath.Join(user, "gwdr", "gwdr.yaml"), "/etc/gwdr/gwdr.yaml"} {
		if _, err := os.Stat(file); err == nil {
			return filepath.Abs(file)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("read configuration: %w", err)
		}
	}
	return "", nil
}
