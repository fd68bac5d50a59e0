package cmd

import (
	"fmt"

	"github.com/spf13/cobra"
)

// strict makes every command that only groups others refuse what is none of them; cobra by itself shows the help and
// calls that a success.
func strict(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		if c.Name() == "help" {
			c.Run, c.RunE = nil, showHelp
			continue
		}
		if c.HasSubCommands() && !c.Runnable() {
			c.Args, c.RunE = cobra.ArbitraryArgs, group
		}
	}
}

// group is a command that does nothing by itself.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	return unknownCommand(c, args[0])
}

func showHelp(c *cobra.Command, args []string) error {
	found, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return unknownCommand(found, args[len(args)-1])
	}
	found.InitDefaultHelpFlag()
	return found.Help()
}

func unknownCommand(c *cobra.Command, name string) error {
	err := usageError(fmt.Errorf("unknown command %q for %q", name, c.CommandPath()))
	if c.SuggestionsMinimumDistance <= 0 {
		c.SuggestionsMinimumDistance = 2
	}
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return withHint(err, "did you mean '%s %s'?", c.CommandPath(), near[0])
	}
	return withHint(err, "see '%s --help'", c.CommandPath())
}

// oneArgument wants exactly one argument; what says which, and hint where to find one.
func oneArgument(what, hint string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return withHint(fmt.Errorf("'%s' takes %s, not %d arguments", c.CommandPath(), what, len(args)), "%s", hint)
	}
}
