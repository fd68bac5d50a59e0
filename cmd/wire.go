package cmd

import "github.com/spf13/cobra"

// commands returns gwdr's commands; each line is one.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newReportCommand(a),
		newInitCommand(a),
		newBackupCommand(a),
		newRestoreCommand(a),
		newDiffCommand(a),
		newDrillCommand(a),
		newProbeCommand(a),
		newServeCommand(a),
		newLabCommand(a),
		newVersionCommand(a),
	}
}
