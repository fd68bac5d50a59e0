package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"gwdr/drills"
	"gwdr/internal/journal"
	"gwdr/internal/sshsig"
	"gwdr/probes"
	"gwdr/probes/calibration"
	"gwdr/scenarios"
)

// run is a region-loss as the lab shows it: a baseline of 7 s, the data plane down for 380 ms, the admin API for 2.9 s,
// two acknowledged changes lost, reverted 4 s after the recovery. What it writes is the same each time.
type run struct {
	no       int
	previous string
	dataDown time.Duration
	lost     int // acknowledged changes before the injection that did not survive
	events   []event
	older    bool // of a build that did not know of unavailability, full service and predictions
	// calibrated is calibration.json; nil is a drill on a host where nothing was calibrated.
	calibrated []byte
}

type event struct {
	at   time.Duration
	kind string
	data any
}

type object = map[string]any

const (
	inject  = 8 * time.Second
	end     = 24 * time.Second
	adminUp = inject + 2900*time.Millisecond
)

var t0 = time.Date(2026, 11, 21, 2, 46, 1, 0, time.UTC)

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

func newRun() *run { return &run{no: 1, dataDown: ms(380), lost: 2, calibrated: newCalibration()} }

// newCalibration is a calibration of one outage, from 1 s to 1.5 s.
func newCalibration() []byte {
	p := calibration.Plan{Rounds: 1, Interval: ms(20), Baseline: ms(800), Stable: ms(500)}
	r := calibration.Record{Plan: p, Seed: 7, Started: t0.Add(-time.Minute), Ended: t0.Add(-time.Second), Series: []probes.Series{
		{Name: "fresh", Plane: probes.DataPlane, Interval: ms(20)}, {Name: "control", Plane: probes.DataPlane, Interval: ms(20), Control: true}}}
	for _, s := range r.Series {
		for seq := int64(0); seq < 150; seq++ {
			due := time.Duration(seq)*ms(20) + ms(5)
			a := probes.Sample{Series: s.Name, Seq: seq, Due: due, Sent: due, Done: due + ms(1), Class: probes.OK}
			if !s.Control && due > time.Second && due < ms(1500) {
				a.Class = probes.FailRefused
			}
			r.Samples = append(r.Samples, a)
		}
	}
	r.Known = []calibration.Known{{Kind: calibration.Refuse, To: 3 * time.Second,
		Began: calibration.Edge{From: time.Second, To: time.Second}, Ended: calibration.Edge{From: ms(1500), To: ms(1500)}}}
	d := calibration.Judge(r)
	d.Tool, d.Host = "gwdr v0.1.0", calibration.Host{Name: "drill-1", Kernel: "Linux 6.1.0", CPUs: 2}
	document, err := marshal(d)
	if err != nil {
		panic(err)
	}
	return document
}

func (r *run) id() string {
	return fmt.Sprintf("%s-region-loss-%04x", t0.Add(time.Duration(r.no)*time.Hour).Format("20060102T150405Z"), r.no)
}

var series = []probes.Series{
	{Name: "orders fresh", Plane: probes.DataPlane, Interval: ms(20), Timeout: time.Second},
	{Name: "orders keepalive", Plane: probes.DataPlane, Interval: ms(20), Timeout: time.Second},
	{Name: "orders revoked fresh", Plane: probes.DataPlane, Interval: ms(20), Timeout: time.Second},
	{Name: "admin", Plane: probes.ControlPlane, Interval: ms(40), Timeout: time.Second},
	{Name: "control", Plane: probes.DataPlane, Interval: ms(20), Timeout: time.Second, Control: true},
}

func (r *run) samples() []any {
	random := rand.New(rand.NewPCG(1, 2))
	var all []any
	for i, s := range series {
		up := map[probes.Plane]time.Duration{probes.DataPlane: inject + r.dataDown, probes.ControlPlane: adminUp}[s.Plane]
		seq := int64(0)
		for due := time.Second + time.Duration(i)*ms(3); due < end-ms(1900); due += s.Interval {
			seq++
			all = append(all, attempt(random, s, seq, due, up))
		}
	}
	return all
}

func attempt(random *rand.Rand, s probes.Series, seq int64, due, up time.Duration) probes.Sample {
	took := time.Duration(900_000 * math.Exp(0.5*random.NormFloat64()))
	a := probes.Sample{Series: s.Name, Seq: seq, Due: due, Sent: due, Class: probes.OK, Status: 200, Instance: "us-east-1", Region: "us-east",
		Reused: s.Name == "orders keepalive"}
	if s.Name == "orders revoked fresh" {
		a.Status = 401
	}
	switch {
	case s.Control || due < inject:
	case due < up:
		a.Instance, a.Region, a.Status = "", "", 0
		took += fail(&a)
	default:
		a.Instance, a.Region = fmt.Sprintf("us-west-%d", 1+seq%2), "us-west"
		if due < up+ms(200) {
			took += time.Duration(random.Float64() * float64(ms(12)))
		}
	}
	a.Done = due + took
	return a
}

// fail makes the attempt fail as a dying region does: reset, then hung or refused. It returns how long that took.
func fail(a *probes.Sample) time.Duration {
	switch {
	case a.Due < inject+ms(120):
		a.Class, a.Error = probes.FailReset, "connection reset by peer"
	case a.Due < inject+ms(260) && a.Reused:
		a.Class, a.Error = probes.FailTimeout, "deadline exceeded"
		return time.Second
	default:
		a.Class, a.Status, a.Error = probes.FailStatus, 503, "status is 503"
	}
	return 0
}

func (r *run) ledger() []any {
	kinds := []probes.ChangeKind{probes.RevokeChange, probes.RouteChange, probes.SpecChange, probes.KeyChange}
	var all []any
	for seq := int64(1); seq <= 500; seq++ {
		e := probes.Entry{Change: probes.Change{Seq: seq, Kind: kinds[seq%4], ID: fmt.Sprintf("ledger-%d", seq)}, Due: time.Second + time.Duration(seq)*ms(40)}
		if e.Change.Kind == probes.RevokeChange {
			e.Change.ID = fmt.Sprintf("ledger-%d", seq-1) // the key of the change before
		}
		e.Sent = e.Due
		all = append(all, e)
		e.Done, e.Result = e.Due+ms(3), probes.Acked
		if e.Due >= inject && e.Due < adminUp {
			e.Result, e.Error = probes.Indeterminate, "connection reset by peer"
			if seq%3 == 0 {
				e.Result, e.Error = probes.Rejected, "control plane takes no writes"
			}
		}
		all = append(all, e)
	}
	return all
}

// observations is what us-west has, and what every region has in the end.
func (r *run) observations(regions ...string) []any {
	var all []any
	for _, region := range regions {
		keys := map[string]int{}
		for _, v := range r.ledger() {
			e := v.(probes.Entry)
			if e.Result == "" {
				continue // the intent
			}
			there := e.Result == probes.Acked && (e.Due >= inject || e.Due < inject-time.Duration(r.lost)*ms(40))
			if e.Change.Kind == probes.RevokeChange {
				if i, ok := keys[e.Change.ID]; ok && there {
					o := all[i].(probes.Observation)
					o.Revoked, o.Refused = true, true
					all[i] = o
				}
				continue
			}
			keys[e.Change.ID] = len(all)
			o := probes.Observation{Region: region, Kind: e.Change.Kind, ID: e.Change.ID}
			if there {
				o.Version, o.Data = e.Change.Seq, e.Change.Seq
			}
			all = append(all, o)
		}
	}
	return all
}

func (r *run) story(planHash string) []event {
	targets := []string{"us-east-1", "us-east-2", "us-east-control"}
	events := []event{
		{0, "start", object{"schema": drills.Schema, "id": r.id(), "run_no": r.no, "scenario": "region-loss", "fleet": "lab", "tool": "gwdr v0.1.0",
			"evidence": "evidence/" + r.id(), "previous": r.previous, "calibration": r.calibration(), "definitions": r.definitions(), "t0": t0.Add(time.Duration(r.no) * time.Hour)}},
		phase(0, drills.Planned), phase(ms(20), drills.Validated),
		{ms(30), "plan", object{"sha256": planHash}},
		phase(ms(60), drills.Preflight),
		{ms(800), "backup", drills.Backup{Point: "20261121T024558Z-412-0a1b2c3d", Time: t0.Add(-3 * time.Second), Locations: []string{"local", "nas", "offsite"}, Age: 3 * time.Second}},
		phase(ms(900), drills.Announced), phase(ms(950), drills.Baseline),
		{ms(960), "series", series},
		{ms(7800), "baseline", drills.Span{From: time.Second, To: ms(7800)}},
		phase(ms(7800), drills.Armed), r.outlook(), phase(ms(7900), drills.Injecting),
		{ms(7990), "fault-intent", object{"id": "power-cut", "kind": "kill", "targets": targets}},
		{ms(8100), "fault-injected", object{"id": "power-cut", "kind": "kill", "targets": targets, "at_ns": inject}},
		{ms(8180), "fault-verified", object{"id": "power-cut", "detail": "no process of the targets is alive, their ports refuse connections"}},
		phase(ms(8200), drills.Observing),
		{ms(8150), "detected", drills.DetectedFact{At: ms(8150), Series: "admin", Plane: probes.ControlPlane}},
		r.passedOver("us-east-1", ms(8360)), r.passedOver("us-east-2", ms(8380)),
		phase(ms(8400), drills.Recovering),
		{ms(8410), "step", drills.StepFact{ID: "promote", Action: "promote", To: "us-west"}},
		{ms(10800), "step", drills.StepFact{ID: "promote", Action: "promote", To: "us-west", Done: true}},
		phase(ms(12950), drills.Recovered), phase(ms(13000), drills.Sustain),
		phase(ms(16000), drills.Reverting),
		{ms(17400), "fault-reverted", object{"id": "power-cut"}},
		phase(ms(17500), drills.Settling),
		{ms(20900), "settled", drills.SettledFact{OK: true, At: ms(20900)}},
		phase(ms(21000), drills.Reconciling),
		{ms(22000), "digest", drills.DigestFact{Stage: drills.Reconciling, Region: "us-east", Digest: hashOf([]byte("x"))}},
		{ms(22000), "digest", drills.DigestFact{Stage: drills.Reconciling, Region: "us-west", Digest: hashOf([]byte("x"))}},
		{ms(24000), "leftovers", object{"ids": []string{}}},
		phase(ms(24100), drills.Clean),
		{ms(24150), "clock", object{"mono_vs_wall_drift_s": 0.0002}},
	}
	return append(append(events, r.events...), event{ms(24200), "end", object{"clean": true}})
}

func phase(at time.Duration, p drills.Phase) event {
	return event{at, "phase", object{"phase": p}}
}

// write makes the run's evidence as a drill leaves it, without a report, and returns its directory.
func (r *run) write(t testing.TB, evidence string) string {
	t.Helper()
	dir := filepath.Join(evidence, r.id())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	plan := planFile(t)
	if r.older {
		plan = olderPlan.ReplaceAll(plan, nil)
	}
	for name, data := range map[string][]byte{
		drills.PlanFile: plan, drills.JournalFile: r.journal(t, scenarios.Hash(plan)), drills.SamplesFile: packed(t, r.samples()),
		drills.LedgerFile: packed(t, r.ledger()), drills.ReadbackFile: packed(t, r.observations("us-west")),
		drills.FinalFile: packed(t, r.observations("us-east", "us-west")), drills.UndoFile: []byte("{}\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r.calibrated != nil {
		if err := os.WriteFile(filepath.Join(dir, drills.CalibrationFile), r.calibrated, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// olderPlan is what plans of older builds do not have.
var olderPlan = regexp.MustCompile(`(?m)^slo:\n(  .*\n)+`)

func (r *run) definitions() int {
	if r.older {
		return 0
	}
	return 1
}

// outlook is what was known before the injection; older builds noted nothing.
func (r *run) outlook() event {
	if r.older {
		return phase(ms(7800), drills.Armed)
	}
	check := drills.Check{Every: ms(200), Timeout: ms(250), Unhealthy: 2, Healthy: 1}
	return event{ms(7850), "outlook", drills.Outlook{
		Fronts: map[probes.Plane]drills.Front{
			probes.DataPlane: {Name: "the edge", Serving: []string{"us-east-1", "us-east-2"}, Standby: []string{"us-west-1", "us-west-2"},
				Check: check},
			probes.ControlPlane: {Name: "the edge", Serving: []string{"us-east-control"}, Standby: []string{"us-west-control"}, Check: check, Retries: 2},
		},
		Actions: map[string]drills.Past{"promote": {Runs: 3, Quickest: ms(1900), Mean: ms(2200), Slowest: ms(2500)}},
	}}
}

// passedOver says that the edge sends no requests to the instance any more; older builds did not look.
func (r *run) passedOver(instance string, at time.Duration) event {
	return event{at, "health", drills.HealthFact{Plane: probes.DataPlane, Instance: instance, After: at - ms(20), At: at}}
}

// calibration is the hash that is journalled at the start.
func (r *run) calibration() string {
	if r.calibrated == nil {
		return ""
	}
	return hashOf(r.calibrated)
}

// journal writes the entries by hand, so that they are of the same instant each time.
func (r *run) journal(t testing.TB, planHash string) []byte {
	t.Helper()
	var out bytes.Buffer
	prev := ""
	for i, e := range r.story(planHash) {
		data, err := json.Marshal(e.data)
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(journal.Entry{Seq: int64(i + 1), At: t0.Add(time.Duration(r.no)*time.Hour + e.at), OffsetS: e.at.Seconds(),
			Type: e.kind, Data: data, Prev: prev})
		if err != nil {
			t.Fatal(err)
		}
		prev = hashOf(line)
		out.Write(append(line, '\n'))
	}
	return out.Bytes()
}

func packed(t testing.TB, lines []any) []byte {
	t.Helper()
	var raw bytes.Buffer
	enc := json.NewEncoder(&raw)
	for _, line := range lines {
		if err := enc.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(raw.Bytes(), nil)
}

// planFile is the scenario with its targets resolved.
func planFile(t testing.TB) []byte {
	t.Helper()
	s, err := scenarios.Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := s.Plan(s.Topology.Instances())
	if err != nil {
		t.Fatal(err)
	}
	file, err := plan.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// judged returns what the drill itself would have reported.
func judged(t testing.TB, dir string) *drills.Result {
	t.Helper()
	facts, scenario, err := drills.ReadFacts(dir)
	if err != nil {
		t.Fatal(err)
	}
	return drills.Judge(scenario, facts)
}

// reported writes the run and its report, and returns the directory.
func (r *run) reported(t testing.TB, evidence string, signer *sshsig.Signer) string {
	t.Helper()
	dir := r.write(t, evidence)
	if err := Write(dir, judged(t, dir), signer); err != nil {
		t.Fatal(err)
	}
	return dir
}

// chain reports n runs, each naming the one before, and returns the directory of all and that of the last.
func chain(t testing.TB, n int, signer *sshsig.Signer) (evidence, last string) {
	t.Helper()
	evidence = t.TempDir()
	previous := ""
	for no := 1; no <= n; no++ {
		r := newRun()
		r.no, r.previous = no, previous
		last = r.reported(t, evidence, signer)
		data, err := os.ReadFile(filepath.Join(last, drills.ReportFile))
		if err != nil {
			t.Fatal(err)
		}
		previous = hashOf(data)
	}
	return evidence, last
}
