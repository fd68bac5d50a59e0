package cmd

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"gwdr/fleet/process"
)

// labDocument is gwdr/lab/v1. It holds no secret.
type labDocument struct {
	Schema     string                `json:"schema"`
	Dir        string                `json:"dir"`
	Supervisor int                   `json:"supervisor_pid"`
	Owned      bool                  `json:"owned"` // by a drill, with which it ends
	Edge       string                `json:"edge"`
	AdminHost  string                `json:"admin_host"` // Host header that leads from the edge to the admin API
	Topology   process.Topology      `json:"topology"`
	Ready      float64               `json:"ready_s"` // how long its processes took to serve
	KeysFile   string                `json:"keys_file"`
	Processes  []process.Process     `json:"processes"`
	Faults     []process.FaultStatus `json:"faults"`
}

// showLab writes what runs. It is an error if something has ended that nobody broke.
func (a *app) showLab(ctx context.Context, lab *process.Lab) error {
	processes, err := lab.Processes(ctx)
	if err != nil {
		return err
	}
	faults, err := lab.Faults(ctx)
	if err != nil {
		return err
	}
	d := labDocument{
		Schema: "gwdr/lab/v1", Dir: lab.Dir(), Supervisor: lab.Supervisor(), Owned: lab.Owned(), Edge: lab.Edge(),
		AdminHost: process.AdminHost, Topology: lab.Topology(), Ready: lab.StartDuration().Seconds(),
		KeysFile: lab.KeysFile(), Processes: processes, Faults: faults,
	}
	if a.JSON {
		err = a.writeJSON(d)
	} else {
		err = a.writeLab(d)
	}
	if err != nil {
		return err
	}
	return died(lab, processes)
}

func (a *app) writeLab(d labDocument) error {
	var rows [][]string
	for _, p := range d.Processes {
		rows = append(rows, []string{p.ID, string(p.Role), p.Region, stateOf(p), number(p.PID), memory(p.Resident), p.URL})
	}
	if err := table(a.Stdout, []string{"PROCESS", "ROLE", "REGION", "STATE", "PID", "MEMORY", "URL"}, rows); err != nil {
		return err
	}
	for _, f := range d.Faults {
		line := fmt.Sprintf("fault %s: %s of %s, heals in %.0f s unless renewed", f.ID, f.Kind, strings.Join(f.Targets, ", "), f.Left)
		if f.Problem != "" {
			line += "; " + printable(f.Problem)
		}
		if _, err := fmt.Fprintf(a.Stdout, "\n%s\n", line); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.Stdout, `
edge   %s
admin  %s with the header "Host: %s"
keys   %s
`, d.Edge, d.Edge, d.AdminHost, d.KeysFile)
	return err
}

func stateOf(p process.Process) string {
	switch {
	case p.Stopped:
		return "stopped"
	case p.Running:
		return "running"
	case p.Fault != "":
		return "down by fault " + p.Fault
	}
	return "ended: " + p.Exit
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func memory(n int64) string {
	if n == 0 {
		return ""
	}
	return size(n)
}

// died is the error that names what has ended although nobody broke it.
func died(lab *process.Lab, processes []process.Process) error {
	for _, p := range processes {
		if p.Died() {
			text := fmt.Sprintf("%s ended by itself (%s)", p.ID, p.Exit)
			if len(p.Tail) > 0 {
				text += ", its last words: " + printable(p.Tail[len(p.Tail)-1])
			}
			return withHint(fmt.Errorf("%s", text), "its log is %s; 'gwdr lab down' and 'gwdr lab up' start afresh", lab.LogFile(p.ID))
		}
	}
	return nil
}
