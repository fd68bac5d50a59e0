package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainUsages takes the quotes away that name a flag's value in the help: completion shows the texts as they are.
func plainUsages(root *cobra.Command) {
	each(root, func(c *cobra.Command) {
		plain := func(f *pflag.Flag) { f.Usage = strings.ReplaceAll(f.Usage, "`", "") }
		c.Flags().VisitAll(plain)
		c.PersistentFlags().VisitAll(plain)
	})
}

// flagError adds to what cobra says of a flag what may have been meant.
func flagError(c *cobra.Command, err error) error {
	unknown, invalid := (*pflag.NotExistError)(nil), (*pflag.InvalidValueError)(nil)
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		if near := nearestFlag(c, unknown.GetSpecifiedName()); near != "" {
			return withHint(err, "did you mean --%s?", near)
		}
		return withHint(err, "see '%s --help'", c.CommandPath())
	case errors.As(err, &unknown):
		return withHint(err, "see '%s --help'", c.CommandPath())
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "duration":
		name, value := invalid.GetFlag().Name, invalid.GetValue()
		return withHint(fmt.Errorf("--%s %q is no time", name, value), "a number and its unit, as 500ms, 30s, 5m or 1h30m")
	}
	return err
}

// nearestFlag returns the flag of the command that begins with name, or else the one that is spelled most like it; "" if none is.
func nearestFlag(c *cobra.Command, name string) string {
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	if i := slices.IndexFunc(names, func(n string) bool { return len(name) > 1 && strings.HasPrefix(n, name) }); i >= 0 {
		return names[i]
	}
	return nearest(name, names)
}
