package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
	"gwdr/scenarios"
)

// labFleet is the name of the fleet that the lab is.
const labFleet = "lab"

// openSite opens the scenario's fleet for a drill.
func (a *app) openSite(s *scenarios.Scenario) func(context.Context) (*drills.Site, error) {
	return func(ctx context.Context) (*drills.Site, error) {
		if s.Fleet != labFleet {
			return a.openFleetSite(ctx, s)
		}
		site, end, err := a.openLabSite(ctx, s)
		if err != nil {
			return nil, errors.Join(err, end())
		}
		site.Close = end
		return site, nil
	}
}

// openLabSite opens the lab, and returns what ends it if the drill started it.
func (a *app) openLabSite(ctx context.Context, s *scenarios.Scenario) (site *drills.Site, end func() error, err error) {
	end = func() error { return nil }
	lab, owned, err := a.openDrillLab(ctx, s.Topology)
	if err != nil {
		return nil, end, err
	}
	if owned {
		end = func() error { return downLab(lab) }
	}
	site, err = a.labSite(ctx, s, lab)
	return site, end, err
}

// openDrillLab returns the running lab if it has the topology, and else starts one that ends with the drill and its guard.
func (a *app) openDrillLab(ctx context.Context, t scenarios.Topology) (lab *process.Lab, owned bool, err error) {
	want := labTopology(t)
	lab, err = process.Open(a.Config.LabDir())
	switch {
	case err == nil && !sameTopology(lab.Topology(), want):
		return nil, false, withHint(fmt.Errorf("%w: a lab of another topology is running", drills.ErrRefused),
			"end it with 'gwdr lab down': the drill starts a lab of its own")
	case err == nil || !errors.Is(err, process.ErrNoLab):
		return lab, false, err
	}
	quiet := *a
	quiet.Quiet = a.Quiet || a.interactive() // the live view has the terminal
	lab, err = quiet.startLab(ctx, process.Options{Dir: a.Config.LabDir(), Executable: a.Executable, Topology: want, Owned: true, Log: a.Log})
	return lab, err == nil, err
}

func labTopology(t scenarios.Topology) process.Topology {
	want := process.Topology{Replication: t.Replication}
	for _, r := range t.Regions {
		want.Regions = append(want.Regions, process.Region{Name: r.Name, Instances: r.Instances})
	}
	return want
}

func downLab(lab *process.Lab) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return lab.Down(ctx)
}

// labSite is the lab as a drill needs it.
func (a *app) labSite(ctx context.Context, s *scenarios.Scenario, lab *process.Lab) (*drills.Site, error) {
	instances, err := lab.Instances(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := labTokens(lab)
	if err != nil {
		return nil, err
	}
	all, err := siteProbes{front: lab.Edge(), control: lab.ControlTarget(), echo: true, keys: keys}.all(s, instances)
	if err != nil {
		return nil, err
	}
	admin := labClient(lab)
	job, err := a.backupJob(ctx, admin)
	if err != nil {
		return nil, err
	}
	backups := &drillBackups{admin: admin, job: job, log: a.Log}
	operator := &labOperator{lab: lab, backups: backups}
	edge := newLabEdge(lab, instances)
	guard := drills.GuardCommand{Args: []string{a.Executable, "drill", "guard"}}
	if owner := lab.OwnerFile(); owner != nil {
		guard.Files = []*os.File{owner}
	}
	return &drills.Site{
		Fleet: ownLocations{lab, a.breakable()}, Probes: all, Backup: backups.fresh, Guard: guard.Start, Fronts: edge.fronts, Health: edge.health,
		Admin:    newLedgerAdmin(admin, lab.AdminToken(), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: ledgerParallel}}, fromEdge(lab)),
		Recovery: drills.Recovery{Promote: operator.promote, Restore: operator.restore, Leader: operator.leader},
	}, nil
}

// fromEdge lists the lab's instances with the control planes where the edge reaches them. A region that is cut off cannot be
// read back then, as a dead one: what only that has is not kept.
func fromEdge(lab *process.Lab) func(context.Context) ([]fleet.Instance, error) {
	return func(ctx context.Context) ([]fleet.Instance, error) {
		instances, err := lab.Instances(ctx)
		for i, in := range instances {
			if in.Role == fleet.Control {
				instances[i].AdminURL = lab.ControlFromEdge(in.Region)
			}
		}
		return instances, err
	}
}

// labOperator does on the lab what an operator does in a disaster.
type labOperator struct {
	lab     *process.Lab
	backups *drillBackups
}

func (o *labOperator) client(url string) *native.Client {
	return &native.Client{URL: url, Token: o.lab.AdminToken()}
}

// promote makes the region's control plane the leader.
func (o *labOperator) promote(ctx context.Context, region string) error {
	instances, err := o.lab.Instances(ctx)
	if err != nil {
		return err
	}
	for _, in := range (fleet.Selector{Region: region, Role: fleet.Control}).Select(instances) {
		_, err := o.client(in.AdminURL).Promote(ctx)
		return err
	}
	return fmt.Errorf("promote %s: %w", region, fleet.ErrNoTarget)
}

// leader returns the region whose control plane takes writes: the one that was promoted last, as an old leader says for a while
// that it leads.
func (o *labOperator) leader(ctx context.Context) (string, error) {
	instances, err := o.lab.Instances(ctx)
	if err != nil {
		return "", err
	}
	region, newest := "", int64(0)
	for _, in := range (fleet.Selector{Role: fleet.Control}).Select(instances) {
		status, err := o.client(in.AdminURL).Brief(ctx)
		if err == nil && status.Mode == gateway.ModeLeader && status.Epoch > newest {
			region, newest = in.Region, status.Epoch
		}
	}
	if region == "" {
		return "", errors.New("no control plane takes writes")
	}
	return region, nil
}

// restore brings the newest backup back into the control plane that waits for one, or, where all answer and none waits, into the
// one that leads: what it has may be wrong. The data planes tell which keys were revoked since.
func (o *labOperator) restore(ctx context.Context) error {
	instances, err := o.lab.Instances(ctx)
	if err != nil {
		return err
	}
	var blank, leader *native.Client
	var newest int64
	var silent error
	var witnesses []restore.RevocationSource
	for _, in := range instances {
		switch in.Role {
		case fleet.Control:
			client := o.client(in.AdminURL)
			switch status, err := client.Brief(ctx); {
			case err != nil:
				silent = err
			case status.Mode == gateway.ModeBlank:
				blank = client
			case status.Mode == gateway.ModeLeader && status.Epoch > newest: // an old leader says so for a while
				leader, newest = client, status.Epoch
			}
		case fleet.Data:
			if in.Running {
				witnesses = append(witnesses, o.client(in.AdminURL))
			}
		}
	}
	switch {
	case blank != nil:
		return o.backups.restore(ctx, blank, witnesses)
	case silent != nil:
		return fmt.Errorf("no control plane is known to wait for a restore: %w", silent)
	case leader == nil:
		return errors.New("no control plane waits for a restore, or leads")
	}
	return o.backups.restore(ctx, leader, witnesses)
}

// sameTopology reports whether a lab has the regions, instances and replication that a drill needs.
func sameTopology(have, want process.Topology) bool {
	return slices.Equal(have.Regions, want.Regions) && have.Replication == want.Replication
}
