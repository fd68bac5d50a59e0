package cmd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/creack/pty"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/restore"
)

// restoreRig is gwdr restore between a gateway and locations in memory.
type restoreRig struct {
	*app
	gateway  *gatewaytest.Gateway
	restorer *restoration
	memories []*backuptest.Memory
	job      backup.Job
	out, err *bytes.Buffer
}

// newRestoreRig has one backup of the sample configuration.
func newRestoreRig(t *testing.T) *restoreRig {
	rig := &restoreRig{gateway: gatewaytest.New(gatewaytest.Sample()...), out: new(bytes.Buffer), err: new(bytes.Buffer)}
	rig.app = &app{Stdin: strings.NewReader(""), Stdout: rig.out, Stderr: rig.err, Env: func(string) string { return "" },
		Log: slog.New(slog.DiscardHandler), Config: &Config{}}
	keys := backuptest.NewKeys(t)
	copies, memories := backuptest.Copies()
	rig.memories = memories
	rig.job = backup.Job{Source: rig.gateway, Gateway: "test", Copies: copies, Keys: keys, Spool: t.TempDir()}
	rig.backup(t)
	rig.restorer = &restoration{Restore: &restore.Restore{Source: restore.Source{Copies: copies, Keys: keys}, Target: rig.gateway}, Gateway: rig.job.Gateway, Spool: rig.job.Spool}
	return rig
}

func (rig *restoreRig) backup(t *testing.T) *backup.Result {
	t.Helper()
	res, err := backup.Take(t.Context(), rig.job)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// run returns the exit code.
func (rig *restoreRig) run(t *testing.T, opts restoreOptions) int {
	return rig.fail(t.Context(), rig.restorer.run(t.Context(), rig.app, opts))
}

// TestRestoreParent: the backup after a restore starts a lineage that names what was restored.
func TestRestoreParent(t *testing.T) {
	rig := newRestoreRig(t)
	first := rig.backup(t)
	parent := fmt.Sprintf("%s@%d", first.Lineage, first.Revision)
	if rig.run(t, restoreOptions{}); rig.backup(t).Lineage != first.Lineage {
		t.Error("a restore that changed nothing started a lineage")
	}
	rig.gateway.Put(changedOrders)
	if code := rig.run(t, restoreOptions{yes: true}); code != exitDone {
		t.Fatal(rig.err)
	}
	if next := rig.backup(t); next.Lineage == first.Lineage || next.Parent != parent {
		t.Errorf("lineage %s of parent %q, want another of %s", next.Lineage, next.Parent, parent)
	}
}

func (rig *restoreRig) revision(t *testing.T) int64 {
	t.Helper()
	e, err := rig.gateway.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e.Revision
}

var changedOrders = entityOf(gateway.Route, "orders", `{"path":"/changed","upstream":"echo"}`)

func TestRestoreExitCodes(t *testing.T) {
	for name, test := range map[string]struct {
		setUp  func(rig *restoreRig)
		opts   restoreOptions
		code   int
		stderr string
		same   bool // the gateway stays as it is
	}{
		"into an empty gateway": {setUp: func(rig *restoreRig) { rig.gateway.Wipe() }},
		"nothing to do":         {setUp: func(*restoreRig) {}, same: true},
		"a plan":                {setUp: func(rig *restoreRig) { rig.gateway.Wipe() }, opts: restoreOptions{plan: true}, same: true},
		"nobody agrees": {
			setUp: func(rig *restoreRig) { rig.gateway.Put(changedOrders) }, code: exitRefused,
			stderr: "1 entity would be changed and 0 entities deleted, and nobody agreed", same: true,
		},
		"agreed before": {setUp: func(rig *restoreRig) { rig.gateway.Put(changedOrders) }, opts: restoreOptions{yes: true}},
		"nothing restorable": {
			setUp: func(rig *restoreRig) {
				for _, m := range rig.memories {
					m.Break(backuptest.Dead)
				}
			},
			code: exitIntegrity, stderr: "! nas: cannot be read: list: connection refused", same: true,
		},
		"the gateway fails": {
			setUp: func(rig *restoreRig) { rig.gateway.Wipe(); rig.gateway.FailApply(2, errors.New("disk full")) },
			code:  exitError, stderr: "2 of 11 changes were made, the last was create of upstream/a/b c%2F?&=ü\"\\.., as read back",
		},
		"interrupted": {
			setUp: func(rig *restoreRig) { rig.gateway.Wipe(); rig.gateway.FailApply(2, context.Canceled) },
			code:  exitInterrupted, stderr: "restore interrupted: 2 of 11 changes were made",
		},
		"the data plane fails": {
			setUp: func(rig *restoreRig) {
				rig.gateway.Wipe()
				rig.restorer.Probe = restore.DataPlane{Instances: restore.Instances("http://127.0.0.1:0"), Within: 1}.Probe
			},
			code: exitMissed, stderr: "data plane does not serve",
		},
	} {
		rig := newRestoreRig(t)
		test.setUp(rig)
		before := rig.revision(t)
		if code := rig.run(t, test.opts); code != test.code {
			t.Errorf("%s: exit code %d, want %d\n%s", name, code, test.code, rig.err)
		}
		if !strings.Contains(rig.err.String(), test.stderr) {
			t.Errorf("%s: no %q in\n%s", name, test.stderr, rig.err)
		}
		if same := rig.revision(t) == before; same != test.same {
			t.Errorf("%s: gateway unchanged: %v", name, same)
		}
	}
}

// busy is a gateway that still makes changes when another restore comes: at its first tries, something lands before.
type busy struct {
	*gatewaytest.Gateway
	landing [][]gateway.Entity
}

func (b *busy) ApplyBulk(ctx context.Context, changes []gateway.Change, bulk gateway.Bulk) (int64, error) {
	if len(b.landing) > 0 {
		for _, e := range b.landing[0] {
			b.Put(e)
		}
		b.landing = b.landing[1:]
		return 0, gateway.ErrConflict
	}
	return 0, b.Apply(ctx, changes)
}

// TestRestoreBusy: what a killed restore had sent may land while the next one is at it, and that goes on with the rest. Nobody
// is asked again, and what was not agreed to is not done.
func TestRestoreBusy(t *testing.T) {
	sample := gatewaytest.Sample()
	foreign := entityOf(gateway.Setting, "foreign", `{}`)
	for name, test := range map[string]struct {
		landing [][]gateway.Entity
		code    int
		stderr  string
	}{
		"twice":          {[][]gateway.Entity{sample[:2], sample[2:6]}, exitDone, "5 of 9 changes are left"},
		"for ever":       {slices.Repeat([][]gateway.Entity{nil}, rebases+1), exitRefused, "gateway was changed since the plan was made"},
		"something else": {[][]gateway.Entity{sample[:2], {foreign}}, exitRefused, "setting/foreign is neither what it was nor what it should be"},
	} {
		rig := newRestoreRig(t)
		rig.gateway.Wipe()
		target := &busy{rig.gateway, test.landing}
		rig.restorer.Target = target
		synctest.Test(t, func(t *testing.T) {
			if code := rig.run(t, restoreOptions{}); code != test.code || !strings.Contains(rig.err.String(), test.stderr) {
				t.Errorf("%s: exit code %d, want %d with %q\n%s", name, code, test.code, test.stderr, rig.err)
			}
		})
		e, err := rig.gateway.Export(t.Context())
		if _, kept := e.State.Get(foreign.Ref); err != nil || kept != (name == "something else") {
			t.Errorf("%s: %v, what somebody else put is there: %v", name, err, kept)
		}
	}
}

func TestRestoreJSON(t *testing.T) {
	for name, test := range map[string]struct {
		setUp  func(rig *restoreRig)
		opts   restoreOptions
		schema string
		has    []string
	}{
		"result": {func(rig *restoreRig) { rig.gateway.Wipe() }, restoreOptions{}, restore.ResultSchema,
			[]string{"lineage", "parent", "point", "recovered_revision", "recovery_point_time", "provenance", "created", "updated", "deleted", "unchanged",
				"revocations_applied", "digest_expected", "digest_actual", "verified", "duration_s"}},
		"plan": {func(rig *restoreRig) { rig.gateway.Wipe() }, restoreOptions{plan: true}, restore.PlanSchema, []string{"point", "kinds", "changes", "estimate_s"}},
		"failure": {func(rig *restoreRig) { rig.gateway.Wipe(); rig.gateway.FailApply(2, io.ErrUnexpectedEOF) }, restoreOptions{}, restore.ResultSchema,
			[]string{"incomplete"}},
		"refusal": {func(rig *restoreRig) { rig.gateway.Put(changedOrders) }, restoreOptions{}, restore.PlanSchema, []string{"total"}},
		"nothing": {func(rig *restoreRig) { rig.restorer.At = restore.At{Point: "none"} }, restoreOptions{}, restore.PlanSchema, []string{"findings"}},
	} {
		rig := newRestoreRig(t)
		rig.JSON = true
		test.setUp(rig)
		rig.run(t, test.opts)
		decoder := json.NewDecoder(rig.out)
		var doc map[string]any
		if err := decoder.Decode(&doc); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if decoder.More() || doc["schema"] != test.schema {
			t.Errorf("%s: schema %v, more %v", name, doc["schema"], decoder.More())
		}
		for _, field := range test.has {
			if _, ok := doc[field]; !ok {
				t.Errorf("%s: no %s", name, field)
			}
		}
	}
}

// TestRestoreAsks: on a terminal one sees the plan and types the answer.
// TestRestoreInterrupted: who presses Ctrl-C at the question has answered it.
func TestRestoreInterrupted(t *testing.T) {
	rig := newRestoreRig(t)
	rig.gateway.Put(changedOrders)
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	rig.Stdin, rig.Stderr = tty, tty
	ctx, interrupt := context.WithCancel(t.Context())
	seen := make(chan struct{})
	go func() {
		defer close(seen)
		for lines := bufio.NewReader(terminal); ; {
			if text, err := lines.ReadString(':'); err != nil {
				return
			} else if strings.HasSuffix(text, "Type restore to go on:") {
				interrupt()
			}
		}
	}()
	before := rig.revision(t)
	if got := rig.fail(ctx, rig.restorer.run(ctx, rig.app, restoreOptions{})); got != exitInterrupted || rig.revision(t) != before {
		t.Errorf("exit code %d, want %d; revision %d, was %d", got, exitInterrupted, rig.revision(t), before)
	}
	terminal.WriteString("restore\n") // ends the reader that was left behind
	tty.Close()
	<-seen
}

func TestRestoreAsks(t *testing.T) {
	for answer, code := range map[string]int{"restore\n": exitDone, "yes\n": exitRefused, "\x04": exitRefused} {
		rig := newRestoreRig(t)
		rig.gateway.Put(changedOrders)
		terminal, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		rig.Stdin, rig.Stderr = tty, tty
		if _, err := terminal.WriteString(answer); err != nil {
			t.Fatal(err)
		}
		seen := make(chan string)
		go func() {
			raw, _ := io.ReadAll(terminal) // a closed terminal ends with an error on Linux
			seen <- string(raw)
		}()
		if got := rig.run(t, restoreOptions{}); got != code {
			t.Errorf("%q: exit code %d, want %d", answer, got, code)
		}
		tty.Close()
		if text := <-seen; !strings.Contains(text, yellow+"~ route/orders"+plain) || !strings.Contains(text, "Type restore to go on: ") {
			t.Errorf("%q: %s", answer, text)
		}
		terminal.Close()
	}
}

// meddled is a gateway that takes a piece only at the revision that the one before it made. Before a piece, somebody may put
// something there.
type meddled struct {
	*gatewaytest.Gateway
	pieces int
	before map[int]gateway.Entity
}

func (m *meddled) ApplyBulk(ctx context.Context, changes []gateway.Change, bulk gateway.Bulk) (int64, error) {
	if m.pieces++; m.before[m.pieces].ID != "" {
		m.Put(m.before[m.pieces])
	}
	if e, err := m.Export(ctx); err != nil || e.Revision != bulk.Base {
		return 0, errors.Join(err, gateway.ErrConflict)
	}
	err := m.Apply(ctx, changes)
	e, exportErr := m.Export(ctx)
	return e.Revision, errors.Join(err, exportErr)
}

// TestRestoreMeddled: what was made before somebody revoked a key meanwhile counts, whatever comes of the rest.
func TestRestoreMeddled(t *testing.T) {
	revoked := entityOf(gateway.Revocation, "0000000000000001", `{"at":"2000-01-01T00:00:00Z"}`)
	foreign := entityOf(gateway.Setting, "foreign", `{}`)
	for name, test := range map[string]struct {
		before  map[int]gateway.Entity
		code    int
		created int
	}{
		"and goes on":     {map[int]gateway.Entity{4: revoked}, exitDone, 11},
		"and is refused":  {map[int]gateway.Entity{4: revoked, 5: foreign}, exitError, 3},
		"and a bit later": {map[int]gateway.Entity{4: revoked, 7: foreign}, exitError, 5},
	} {
		rig := newRestoreRig(t)
		rig.JSON = true
		rig.gateway.Wipe()
		rig.restorer.Target, rig.restorer.Rate = &meddled{Gateway: rig.gateway, before: test.before}, 1
		synctest.Test(t, func(t *testing.T) {
			if code := rig.run(t, restoreOptions{rate: 1}); code != test.code {
				t.Errorf("%s: exit code %d, want %d\n%s", name, code, test.code, rig.err)
			}
		})
		var res restore.Result
		if err := json.Unmarshal(rig.out.Bytes(), &res); err != nil {
			t.Fatal(name, err)
		}
		if res.Created != test.created {
			t.Errorf("%s: %d created, want %d", name, res.Created, test.created)
		}
		said := fmt.Sprintf("%d of 11 changes were made", test.created)
		if failed := test.code != exitDone; failed != (res.Incomplete != nil && len(res.Incomplete.Made) == test.created && strings.Contains(rig.err.String(), said)) ||
			strings.Contains(rig.err.String(), "nothing was") {
			t.Errorf("%s: %+v\n%s", name, res.Incomplete, rig.err)
		}
	}
}
