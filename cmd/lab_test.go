package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/fleettest"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

const labSoon = 30 * time.Second // how long anything here may take before the test fails

// newLab starts a lab of two regions, and at the end of the test proves that no process of it is left.
func newLab(t *testing.T, replication string) *process.Lab {
	t.Helper()
	executable, err := exec.LookPath("gwdr")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{Stderr: io.Discard, Env: os.Getenv, Log: slog.New(slog.DiscardHandler), Config: &Config{}}
	lab, err := a.startLab(t.Context(), process.Options{
		Dir: filepath.Join(t.TempDir(), "lab"), Executable: executable,
		Topology: process.Topology{Replication: replication, Regions: []process.Region{{Name: "east", Instances: 2}, {Name: "west", Instances: 1}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pids := []int{lab.Supervisor()}
		if all, err := lab.Processes(context.Background()); err == nil {
			for _, p := range all {
				pids = append(pids, p.PID)
			}
		}
		if err := downLab(lab); err != nil {
			t.Error(err)
		}
		endOf(t, pids)
	})
	return lab
}

// endOf waits until none of the processes is left.
func endOf(t *testing.T, pids []int) {
	t.Helper()
	for _, pid := range pids {
		within(t, "the end of every process", func() bool {
			line, err := os.ReadFile(filepath.Join("/proc", number(pid), "cmdline"))
			return pid == 0 || err != nil || !strings.Contains(string(line), "gwdr") // a zombie has no command line
		})
	}
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(labSoon); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", labSoon, what)
		}
	}
}

// TestLabIsAFleet runs the conformance suite on real gateways.
func TestLabIsAFleet(t *testing.T) {
	lab := newLab(t, process.ReplicationNone)
	fleettest.Run(t, fleettest.Suite{
		Open: func(t *testing.T) fleet.Fleet { return lab },
		Reopen: func(t *testing.T, u fleet.Undo) fleet.Fleet {
			again, err := process.Reopen(u)
			if err != nil {
				t.Fatal(err)
			}
			return again
		},
		Faults: map[fleet.FaultKind]fleettest.Case{
			fleet.Kill:      {Selector: fleet.Selector{Region: "east"}},
			fleet.StoreWipe: {Selector: fleet.Selector{Instance: "east-control"}},

			fleet.BadConfig:       {Selector: fleet.Selector{Instance: "east-control"}},
			fleet.KeyWipe:         {Selector: fleet.Selector{Instance: "east-control"}},
			fleet.LoadSpike:       {Selector: fleet.Selector{Instance: "east-1"}, With: fleet.Params{Rate: 100}},
			fleet.RetryStorm:      {Selector: fleet.Selector{Role: fleet.Edge}, With: fleet.Params{Rate: 100}},
			fleet.ConnectionFlood: {Selector: fleet.Selector{Region: "east", Role: fleet.Data}, With: fleet.Params{Count: 50, Mode: "slow-header"}},
		},
	})
}

// ask requests /orders through the edge on a new connection and returns the status and the region that answered.
func ask(t *testing.T, lab *process.Lab, key string) (status int, region string) {
	t.Helper()
	tokens, err := labTokens(lab)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, lab.Edge()+"/orders", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+tokens[key])
	req.Header.Set("X-Gwdr-Nonce", "n1")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var echo struct{ Path, Nonce string }
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&echo); err != nil || echo.Path != "/orders" || echo.Nonce != "n1" {
			t.Errorf("echo answers %+v, %v", echo, err)
		}
	}
	return resp.StatusCode, resp.Header.Get("X-Gwdr-Region")
}

func inject(t *testing.T, lab *process.Lab, kind fleet.FaultKind, s fleet.Selector) fleet.Undo {
	t.Helper()
	all, err := lab.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := lab.Prepare(t.Context(), fleet.Fault{ID: "test", Kind: kind, Lease: time.Hour}, s.Select(all))
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Inject(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Verify(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestLabFailsOverAndBack(t *testing.T) {
	lab := newLab(t, process.ReplicationAsync)
	if status, region := ask(t, lab, liveKey); status != http.StatusOK || region != "east" {
		t.Fatalf("before: %d from %q, want 200 from east", status, region)
	}
	if status, _ := ask(t, lab, revokedKey); status != http.StatusUnauthorized {
		t.Errorf("a revoked key gets %d, want 401", status)
	}
	u := inject(t, lab, fleet.Kill, fleet.Selector{Region: "east"})
	within(t, "west answers", func() bool {
		status, region := ask(t, lab, liveKey)
		return status == http.StatusOK && region == "west"
	})
	west := &native.Client{URL: lab.ControlURL("west"), Token: lab.AdminToken()}
	if _, err := west.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	within(t, "administrators reach west through the edge", func() bool {
		status, err := labClient(lab).Brief(t.Context())
		return err == nil && status.Region == "west" && status.Mode == gateway.ModeLeader
	})
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	within(t, "east serves again and follows", func() bool {
		_, region := ask(t, lab, liveKey)
		status, err := (&native.Client{URL: lab.ControlURL("east"), Token: lab.AdminToken()}).Brief(t.Context())
		return region == "east" && err == nil && status.Mode == gateway.ModeFollower
	})
}

func TestLabStoreIsRestoredDuringTheFault(t *testing.T) {
	lab := newLab(t, process.ReplicationNone)
	control := &native.Client{URL: lab.ControlURL("east"), Token: lab.AdminToken()}
	before, err := control.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u := inject(t, lab, fleet.StoreWipe, fleet.Selector{Instance: "east-control"})
	if status, region := ask(t, lab, liveKey); status != http.StatusOK || region != "east" {
		t.Errorf("without a store: %d from %q, want 200 from east", status, region)
	}
	changes := gateway.Diff(gateway.NewState(), before.State)
	if err := control.Apply(t.Context(), changes); err != nil {
		t.Fatal(err)
	}
	restored, err := control.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	after, err := control.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.Store != restored.Store || after.Store == before.Store || after.State.Digest() != before.State.Digest() {
		t.Errorf("store %s after the revert, restored as %s, before %s", after.Store, restored.Store, before.Store)
	}
}

func TestLabEndsWithItsSupervisor(t *testing.T) {
	lab := newLab(t, process.ReplicationAsync)
	all, err := lab.Processes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, p := range all {
		pids = append(pids, p.PID)
		if p.ID == "east-1" {
			if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := syscall.Kill(lab.Supervisor(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	endOf(t, append(pids, lab.Supervisor()))
	within(t, "it is known that the lab died", func() bool {
		_, err := process.Open(lab.Dir())
		return errors.Is(err, process.ErrNoLab)
	})
}
