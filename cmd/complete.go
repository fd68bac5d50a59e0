package cmd

import (
	"slices"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/scenarios"
)

// completeScenarios offers the names of the catalogue to the shell, and its files.
func completeScenarios(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all, err := scenarios.Catalogue()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, s := range all {
		names = append(names, cobra.CompletionWithDesc(s.Metadata.Name, s.Metadata.Title))
	}
	return names, cobra.ShellCompDirectiveDefault
}

// completeRuns offers the ids of the runs to the shell, the newest first. No command runs, so that nobody has read the
// configuration yet.
func (a *app) completeRuns(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	config, err := loadConfig(a.configFile, a.Env)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	runs, _ := drills.Runs(config.Evidence) // nobody could read an error here
	var ids []cobra.Completion
	for _, r := range slices.Backward(runs) {
		ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Scenario))
	}
	return ids, cobra.ShellCompDirectiveKeepOrder
}
