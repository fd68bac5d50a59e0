package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"gwdr/fleet/process"
)

// The commands in this file are the lab's own processes. They are hidden: process.Start and its supervisor run them.

func newLabSuperviseCommand(a *app) *cobra.Command {
	var dir, topology string
	var owner bool
	cmd := &cobra.Command{
		Use:     "supervise",
		Short:   "Be the parent of a lab's processes",
		Example: `  gwdr lab supervise --dir DIR --topology JSON`,
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s := process.Supervision{Dir: dir, Executable: a.Executable, Ready: a.Stdout, Env: a.labEnv(), Log: a.Log}
			if err := json.Unmarshal([]byte(topology), &s.Topology); err != nil {
				return usageError(fmt.Errorf("read topology: %w", err))
			}
			if owner {
				s.Owner = a.Stdin
			}
			return process.Supervise(cmd.Context(), s)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`directory` of the lab")
	cmd.Flags().StringVar(&topology, "topology", "", "`JSON` that says what it consists of")
	cmd.Flags().BoolVar(&owner, "owner-stdin", false, "end when stdin does")
	return cmd
}

func newLabEchoCommand(a *app) *cobra.Command {
	var file string
	return a.labChild("echo", "Be the lab's echo upstream", "file", "`file` that says where", &file,
		func(ctx context.Context) error { return process.RunEcho(ctx, file) })
}

func newLabLinksCommand(a *app) *cobra.Command {
	var file string
	return a.labChild("links", "Be the lab's links", "file", "`file` that names the links", &file,
		func(ctx context.Context) error { return process.RunLinks(ctx, file, a.Log) })
}

func newLabPressCommand(a *app) *cobra.Command {
	var bytes string
	return a.labChild("press", "Be pressure on the lab's machine", "bytes", "`number` of bytes of memory to hold; 0 uses up a CPU", &bytes,
		func(ctx context.Context) error {
			n, err := strconv.ParseInt(bytes, 10, 64)
			if err != nil || n < 0 {
				return usageError(fmt.Errorf("--bytes %q is no number of bytes", bytes))
			}
			return process.RunPressure(ctx, n)
		})
}

func newLabLoadCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "load", Short: "Be load on the lab", Example: "  gwdr lab load --file FILE",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = lowerPriority()                                  // so that it presses the gateway, and not who measures it
			return process.RunLoad(cmd.Context(), file, a.Stdin) // which ends it, too
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "`file` that says whom to load, and how")
	return cmd
}

// labChild returns a hidden command with one flag that runs until its parent ends.
func (a *app) labChild(name, short, flag, usage string, value *string, run func(context.Context) error) *cobra.Command {
	var exitOnEOF bool
	cmd := &cobra.Command{
		Use: name, Short: short, Example: fmt.Sprintf("  gwdr lab %s --%s VALUE", name, flag),
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			if exitOnEOF {
				var cancel context.CancelFunc
				ctx, cancel = untilEOF(ctx, a.Stdin)
				defer cancel()
			}
			return run(ctx)
		},
	}
	cmd.Flags().StringVar(value, flag, "", usage)
	cmd.Flags().BoolVar(&exitOnEOF, "exit-on-stdin-eof", false, "stop when stdin ends: with the process that started this one")
	return cmd
}

// untilEOF returns a context that also ends when r does.
func untilEOF(ctx context.Context, r io.Reader) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, r) // an error is an end too
		cancel()
	}()
	return ctx, cancel
}
