package exec

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
	"gwdr/fleet/mark"
)

func TestOpenRefuses(t *testing.T) {
	w := &world{t.TempDir()}
	w.write(t, "drill.sh", script)
	open := filepath.Join(w.dir, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.WriteFile(filepath.Join(open, "drill.sh"), []byte(script), 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	w.write(t, "written.sh", script)
	if err := os.Chmod(filepath.Join(w.dir, "written.sh"), 0o707); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		change func(*Options)
		want   string
	}{
		"no list":                    {func(o *Options) { o.List = nil }, "list is not set"},
		"no kinds":                   {func(o *Options) { o.Kinds = nil }, "kinds is not set"},
		"a kind that is none":        {func(o *Options) { o.Kinds = []fleet.FaultKind{"explode"} }, `there is no fault "explode"`},
		"a long time limit":          {func(o *Options) { o.Timeout = time.Minute }, "timeout: 1m0s must be from 1s to 10s"},
		"a value instead of a name":  {func(o *Options) { o.Pass = []string{"TOKEN=x"} }, `is not the name of a variable`},
		"no such file":               {func(o *Options) { o.Revert = []string{"./nowhere.sh"} }, "revert: " + w.dir + "/nowhere.sh cannot be run: "},
		"no such program":            {func(o *Options) { o.Revert = []string{"gwdr-no-such"} }, "revert: there is no program gwdr-no-such in "},
		"a folder of everybody":      {func(o *Options) { o.List = []string{"open/drill.sh"} }, open + " can be written by everybody"},
		"a file of everybody":        {func(o *Options) { o.List = []string{"./written.sh"} }, "written.sh can be written by everybody"},
		"a script for a shell":       {func(o *Options) { o.List = []string{"sh", "./written.sh"} }, "written.sh can be written by everybody"},
		"a relative state directory": {func(o *Options) { o.State = "state" }, "must be absolute"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Open(w.options(test.change))
			wants(t, err, test.want)
		})
	}
}

func TestPrepareRefuses(t *testing.T) {
	w := newWorld(t)
	target := []fleet.Instance{w.instance(t, "us-west-1")}
	fault := fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}
	_, err := w.fleet(t, func(o *Options) { o.Allow = false }).Prepare(t.Context(), fault, target)
	wants(t, err, "does not say allow: true")
	_, err = w.fleet(t, func(o *Options) { o.Environ = os.Environ() }).Prepare(t.Context(), fault, target)
	wants(t, err, "the variable SERVER, which env lists, is not set here")
	_, err = w.fleet(t, nil).Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Isolate}, target)
	wants(t, err, "isolate", "the configuration names the kinds kill, pause")
	_, err = w.hostile(t, "list", `echo '[{"id":"us-west-1","running":false}]'`).Prepare(t.Context(), fault, target)
	wants(t, err, "us-west-1 does not run")
}

// TestChangedInBetween: what was prepared is what is injected, and what is reverted in any case.
func TestChangedInBetween(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(t, nil)
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{w.instance(t, "us-west-1")})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "drill.sh", script+"# another\n")
	wants(t, f.Inject(t.Context(), u), "drill.sh is not as when the fault was prepared")
	revert(t, f, u)
}

// TestInterruptedInjection is a drill that is killed while its command injects: nothing of that is done after the revert.
func TestInterruptedInjection(t *testing.T) {
	w := newWorld(t)
	f := w.hostile(t, "inject", "echo > begun; sleep 600; echo > late")
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{w.instance(t, "us-west-1")})
	if err != nil {
		t.Fatal(err)
	}
	data, err := decodeUndo(u)
	if err == nil {
		err = data.marks().Put(u)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.options.Timeout, data.Commands.Timeout = time.Minute, time.Minute
	ended := make(chan error, 1)
	go func() { // what is left of the drill is the command alone
		_, err := f.run(context.WithoutCancel(t.Context()), data.Commands, data.Commands.Inject, requestOf("inject", u.Fault, data))
		ended <- err
	}()
	for _, err := os.Stat(filepath.Join(w.dir, "begun")); err != nil; _, err = os.Stat(filepath.Join(w.dir, "begun")) {
		time.Sleep(time.Millisecond)
	}
	revert(t, f, u)
	wants(t, <-ended, "signal: killed")
}

func TestDamagedMarkCounts(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(t, nil)
	if err := errors.Join(os.Mkdir(f.options.State, 0o700), os.WriteFile(mark.Dir{Path: f.options.State}.File("cut"), []byte("{"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if left, err := f.Leftovers(t.Context()); err != nil || !cmp.Equal(left, []string{"cut"}) {
		t.Errorf("left: %v, %v", left, err)
	}
	u, err := f.Prepare(t.Context(), fleet.Fault{ID: "cut", Kind: fleet.Kill, Lease: time.Hour}, []fleet.Instance{w.instance(t, "us-west-1")})
	if err != nil {
		t.Fatal(err)
	}
	wants(t, f.Inject(t.Context(), u), "it is already in effect: ", "cut.json says so")
}

func TestLeftoversAreAsked(t *testing.T) {
	w := newWorld(t)
	if left, err := w.hostile(t, "leftovers", `echo '["b","a"]'`).Leftovers(t.Context()); err != nil || !cmp.Equal(left, []string{"a", "b"}) {
		t.Errorf("left: %v, %v", left, err)
	}
	_, err := w.hostile(t, "leftovers", `echo '["\u001b"]'`).Leftovers(t.Context())
	wants(t, err, "is not the id of a fault")
}

// TestRequest shows what a command gets.
func TestRequest(t *testing.T) {
	data := undoData{Fleet: "prod", Nonce: "n", Targets: []fleet.Instance{{ID: "a", Region: "east", Role: fleet.Data, Running: true}, {ID: "b", Role: fleet.Edge}}}
	r := requestOf("inject", fleet.Fault{ID: "slow", Kind: fleet.Latency, Lease: 5 * time.Second,
		With: fleet.Params{Delay: 150 * time.Millisecond, Peer: fleet.Selector{Region: "west"}}}, data)
	r.Schema = requestSchema
	got, err := json.Marshal(r)
	const want = `{"schema":"gwdr/exec/v1","command":"inject","fleet":"prod","fault":{"id":"slow","kind":"latency","with":{"delay_s":0.15,"peer":{"region":"west"}},"lease_s":5},` +
		`"targets":[{"id":"a","region":"east","role":"data","running":true},{"id":"b","role":"edge","running":false}]}`
	if diff := cmp.Diff(want, string(got)); diff != "" || err != nil {
		t.Errorf("document (-want +got):\n%s%v", diff, err)
	}
	variables := []string{"DRILL_COMMAND=inject", "DRILL_FLEET=prod", "DRILL_FAULT=slow", "DRILL_KIND=latency", "DRILL_TARGETS=a b", "DRILL_NONCE=n", "DRILL_WITH_DELAY_S=0.15"}
	if diff := cmp.Diff(variables, r.variables()); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

func TestDecodeInstances(t *testing.T) {
	for answer, want := range map[string]string{
		`null`:                         "it begins with",
		`{"instances":[]}`:             "it is no JSON list of instances",
		`[{"running":true}]`:           "instance 1: id is not set",
		`[{"id":"a"}]`:                 "instance 1 a: running is not set",
		`[{"id":"a","running":"yes"}]`: `instance 1 a: running: "yes" is not what belongs there; it takes true or false`,
		`[{"id":"a","running":null}]`:  "running: null is not",
		`[{"id":"-oProxyCommand=x","running":true}]`:            "an id has letters",
		`[{"id":"a b","running":true}]`:                         "an id has letters",
		`[{"id":"a","running":true,"role":"chief"}]`:            `role: there is no role "chief"`,
		`[{"id":"a","running":true,"url":"http://u:secret@h"}]`: "url is not of the form",
		`[{"id":"a","running":true},{"id":"a","running":true}]`: "instance 2 a: id is that of instance 1, too",
	} {
		_, err := decodeInstances([]byte(answer))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q in it", answer, err, want)
		}
	}
}

func FuzzDecodeInstances(f *testing.F) {
	f.Add([]byte(`[{"id":"a","region":"b","role":"data","running":true,"url":"http://h:1"}]`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		instances, err := decodeInstances(answer)
		for _, in := range instances {
			if err != nil || !idPattern.MatchString(in.ID) {
				t.Errorf("%+v, %v", in, err)
			}
		}
	})
}

func FuzzDecodeUndo(f *testing.F) {
	f.Add([]byte(`{"fleet":"prod","state":"/s","nonce":"n","commands":{"dir":"/","timeout_ns":5000000000,"list":{"args":["/a"],"files":{"/a":""}}},"targets":[{"id":"a"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := decodeUndo(fleet.Undo{Driver: Driver, Fault: fleet.Fault{ID: "a", Kind: fleet.Kill}, Data: data})
		if err == nil && (len(got.Targets) == 0 || len(got.Commands.Revert.Args) == 0) {
			t.Errorf("decoded to %+v", got)
		}
	})
}

func FuzzHarmless(f *testing.F) {
	f.Add("a\x1b[2J\u202eb\xff")
	f.Fuzz(func(t *testing.T, text string) {
		if got := harmless(text); strings.ContainsAny(got, "\x1b\n\r\u202e\u009b") {
			t.Errorf("%q", got)
		}
	})
}
