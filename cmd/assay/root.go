package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"

	"assay"
)

// Streams are the program's input and output.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs the program and gives its exit code.
func Run(ctx context.Context, args []string, s Streams) int {
	u := newUI(s)
	err := execute(ctx, args, u)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Canceled // whatever else the interruption led to
		}
		u.fail(err, wantsJSON(args))
	}
	return exitCode(err)
}

// execute runs the command that the arguments name. A panic is an error of the
// program's own.
func execute(ctx context.Context, args []string, u *ui) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = assay.WithCode(assay.CodeInternal, fmt.Errorf("a fault of assay itself, please report it: %v\n%s", r, debug.Stack()))
		}
	}()
	root := &cobra.Command{
		Use:           "assay",
		Short:         "Decide with evidence whether an AI system is protected well enough",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetArgs(args)
	root.SetIn(u.streams.In)
	root.SetOut(u.streams.Out)
	root.SetErr(u.streams.Err)
	root.AddCommand(initCommand(u), planCommand(u), assessCommand(u), verifyCommand(u), rerunCommand(u), reportCommand(u), explainCommand(u), catalogCommand(u),
		attackCommand(u), extractCommand(u), plantCommand(u), inspectCommand(u), inspectModelCommand(u), repairCommand(u), auditPrivacyCommand(u), trainCommand(u), retrainCommand(u), hardenCommand(u), gateCommand(u), gradientCommand(u), proveCommand(u),
		scanCommand(u), signCommand(u), verifyModelCommand(u), manifestCommand(u), pinCommand(u), convertCommand(u), bomCommand(u), versionCommand(u))
	running := false
	watch(root, func() { running = true })
	if err = root.ExecuteContext(ctx); err != nil && !running {
		return assay.WithCode(assay.CodeUsage, err) // the arguments did not get as far as a command
	}
	return err
}

// watch has a function called before each command below one runs.
func watch(parent *cobra.Command, begun func()) {
	for _, c := range parent.Commands() {
		run := c.RunE
		c.RunE = func(c *cobra.Command, args []string) error {
			begun()
			return run(c, args)
		}
		watch(c, begun)
	}
}
