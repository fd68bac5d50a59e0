package cmd

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/gateway"
	"gwdr/scenarios"
)

// completeFlag offers values for a flag to the shell. The flag must be there.
func completeFlag(cmd *cobra.Command, flag string, values cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, values); err != nil {
		panic("cmd: " + err.Error())
	}
}

// completeList offers values for a flag that takes several, separated by commas.
func completeList(values func(context.Context) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		before := typed[:strings.LastIndex(typed, ",")+1]
		var offered []cobra.Completion
		for _, v := range values(cmd.Context()) {
			if !slices.Contains(strings.Split(before, ","), v) {
				offered = append(offered, before+v)
			}
		}
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
}

func kindNames(context.Context) []string {
	var names []string
	for _, k := range gateway.Kinds() {
		names = append(names, string(k)+"s")
	}
	return names
}

// locationNames returns the names of the locations that --from takes. The configuration is not read before a completion.
func (a *app) locationNames(ctx context.Context) []string {
	config, err := loadConfig(a.configFile, a.Env)
	if err != nil {
		return nil
	}
	if completing := (&app{Config: config}); !completing.labLocations() {
		return slices.Sorted(maps.Keys(config.Locations))
	}
	copies, err := labCopies(ctx, config.LabDir())
	if err != nil {
		return nil
	}
	var names []string
	for _, c := range copies {
		names = append(names, c.Name)
	}
	return names
}

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

// completeEvidence offers what completeRuns does, and what 'gwdr probe' recorded.
func (a *app) completeEvidence(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ids, directive := a.completeRuns(cmd, args, typed)
	config, err := loadConfig(a.configFile, a.Env)
	if err != nil || len(args) > 0 {
		return ids, directive
	}
	watches, _ := drills.Watches(config.Evidence) // nobody could read an error here
	for _, id := range slices.Backward(watches) {
		ids = append(ids, cobra.CompletionWithDesc(id, "probe"))
	}
	return ids, directive
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
