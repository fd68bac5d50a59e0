package cmd

import (
	"bufio"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// deployed returns the gwdr command lines, without the program, of a file of deploy/.
func deployed(t *testing.T, file string) [][]string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(file) == ".yaml" {
		return deployedJobs(t, content)
	}
	var lines [][]string
	for s := bufio.NewScanner(strings.NewReader(string(content))); s.Scan(); {
		if _, command, ok := strings.Cut(s.Text(), "/usr/local/bin/gwdr "); ok && !strings.HasPrefix(s.Text(), "#") {
			lines = append(lines, strings.Fields(strings.TrimSuffix(command, " >/dev/null")))
		}
	}
	return lines
}

// deployedJobs returns the arguments of each CronJob, and wants the container to be confined.
func deployedJobs(t *testing.T, content []byte) (lines [][]string) {
	t.Helper()
	type container struct {
		Args            []string
		SecurityContext struct {
			AllowPrivilegeEscalation, ReadOnlyRootFilesystem bool
			Capabilities                                     struct{ Drop []string }
		} `yaml:"securityContext"`
		VolumeMounts []struct{ Name, MountPath string } `yaml:"volumeMounts"`
	}
	var list struct {
		Kind  string
		Items []struct {
			Kind string
			Spec struct {
				Schedule          string
				ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
				JobTemplate       struct {
					Spec struct {
						Template struct {
							Spec struct {
								RestartPolicy string `yaml:"restartPolicy"`
								Containers    []container
								Volumes       []struct{ Name string }
							}
						}
					}
				} `yaml:"jobTemplate"`
			}
		}
	}
	if err := yaml.Unmarshal(content, &list); err != nil || list.Kind != "List" || len(list.Items) != 3 {
		t.Fatalf("CronJobs: %v, %+v", err, list)
	}
	for _, job := range list.Items {
		pod := job.Spec.JobTemplate.Spec.Template.Spec
		if job.Kind != "CronJob" || len(strings.Fields(job.Spec.Schedule)) != 5 || job.Spec.ConcurrencyPolicy != "Forbid" ||
			pod.RestartPolicy != "Never" || len(pod.Containers) != 1 || len(pod.Volumes) != len(pod.Containers[0].VolumeMounts) {
			t.Fatalf("job: %+v", job)
		}
		c := pod.Containers[0]
		if c.SecurityContext.AllowPrivilegeEscalation || len(c.SecurityContext.Capabilities.Drop) != 1 || len(c.VolumeMounts) != 3 {
			t.Errorf("container: %+v", c)
		}
		lines = append(lines, c.Args)
	}
	return lines
}

// TestDeploy: what we tell people to install is what gwdr understands.
func TestDeploy(t *testing.T) {
	files, err := filepath.Glob("../deploy/*")
	if err != nil || len(files) < 8 {
		t.Fatalf("files: %v, %v", files, err)
	}
	for _, file := range files {
		lines := deployed(t, file)
		if want := map[string]int{".cron": 4, ".yaml": 3, ".service": 1, ".timer": 0}[filepath.Ext(file)]; len(lines) != want {
			t.Errorf("%s: %d commands, want %d: %v", file, len(lines), want, lines)
		}
		for _, args := range lines {
			understood(t, file, args)
		}
		if unit, ok := strings.CutSuffix(file, ".service"); ok && !strings.HasSuffix(unit, "follow") { // which runs all the time
			if _, err := os.Stat(unit + ".timer"); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestDeployUser: a unit says what its user needs, and its spool is where gwdr init says for a configuration in /etc.
func TestDeployUser(t *testing.T) {
	o := initOptions{file: "/etc/gwdr/gwdr.yaml"}
	if err := o.resolve("/root/.local/state/gwdr"); err != nil {
		t.Fatal(err)
	}
	units, err := filepath.Glob("../deploy/*.service")
	if err != nil || len(units) != 4 {
		t.Fatalf("units: %v, %v", units, err)
	}
	for file, want := range map[string][]string{
		"../deploy/gwdr-backup.service": {"useradd --system", "install -d -o gwdr", o.state, "chown -R gwdr:gwdr " + o.keys},
		"../deploy/gwdr.cron":           {"useradd --system", "install -d -o gwdr", o.state, "chown -R gwdr:gwdr " + o.keys},
		"../deploy/cronjob.yaml":        {"{name: GWDR_STATE, value: " + o.state + "}", "mountPath: " + o.state + "}", "fsGroup: 65532", "defaultMode: 0440"},
	} {
		contains(t, content(t, file), want...)
	}
	for _, unit := range units {
		contains(t, content(t, unit), "useradd", "User=gwdr\n", "Environment=GWDR_STATE="+o.state+"\n", "StateDirectory="+filepath.Base(o.state)+"\n")
	}
}

func content(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestOpenToOthers: a secret that Kubernetes gives to the group of the pod is no reason to warn; what its owner, or anybody else,
// has opened is.
func TestOpenToOthers(t *testing.T) {
	for _, c := range []struct {
		mode       fs.FileMode
		ours, want bool
	}{
		{0o600, true, false}, {0o400, true, false}, {0o440, true, true}, {0o640, true, true}, {0o604, true, true},
		{0o440, false, false}, {0o640, false, false}, {0o444, false, true}, {0o460, false, true}, {0o644, false, true},
	} {
		if openToOthers(c.mode, c.ours) != c.want {
			t.Errorf("mode %04o, ours %v: open %v", c.mode, c.ours, !c.want)
		}
	}
}

// understood wants gwdr to know the command and its flags.
func understood(t *testing.T, where string, args []string) {
	t.Helper()
	root := newRootCommand(&app{Stdout: io.Discard, Stderr: io.Discard, Log: slog.New(slog.DiscardHandler)})
	c, rest, err := root.Find(args)
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err != nil || !strings.HasPrefix(c.CommandPath(), "gwdr backup") && c.CommandPath() != "gwdr restore" {
		t.Errorf("%s: gwdr %v is %q: %v", where, args, c.CommandPath(), err)
	}
}

// TestInitCronLines: the lines that gwdr init prints for cron are understood, and name gwdr and its configuration.
func TestInitCronLines(t *testing.T) {
	lines := cronLines("/opt/my gwdr", "/etc/gwdr.yaml")
	if len(lines) != 3 {
		t.Fatalf("lines: %v", lines)
	}
	form := regexp.MustCompile(`^[0-9*/]+ [0-9*]+ [0-9*]+ [0-9*]+ [0-9*]+ '/opt/my gwdr' (--config /etc/gwdr.yaml --quiet .*) >/dev/null$`)
	for _, line := range lines {
		found := form.FindStringSubmatch(line)
		if found == nil {
			t.Errorf("line %q", line)
			continue
		}
		understood(t, "gwdr init", strings.Fields(found[1]))
	}
	deployed, err := os.ReadFile("../deploy/gwdr.cron")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range cronLines("/usr/local/bin/gwdr", "/etc/gwdr/gwdr.yaml") { // as often, and to the same end
		fields := strings.Fields(line)
		fields = slices.Insert(fields, 5, "gwdr") // its user
		if !slices.ContainsFunc(strings.Split(string(deployed), "\n"), func(d string) bool { return slices.Equal(strings.Fields(d), fields) }) {
			t.Errorf("deploy/gwdr.cron lacks %v", fields)
		}
	}
}
