package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/train/command"
)

// retrainFlags are the flags of assay retrain.
type retrainFlags struct {
	data        dataFlags
	out, format string
	command     command.Command
	seed        uint64
	show        bool
}

func retrainCommand(u *ui) *cobra.Command {
	f := &retrainFlags{}
	c := &cobra.Command{
		Use:   "retrain --data DATA --out MODEL.onnx -- COMMAND... {data} {out}",
		Short: "Train a model by a command of your own",
		Long: `Train a model by a command of your own.

The command is started as it is, without a shell. In its arguments {data} stands for
the path of the data, {out} for that of the ONNX file that it writes, and {seed} for the
seed. Its model is opened, run, and compared with the data's columns and classes; only
then does it take the place of --out. Where the command fails, goes on beyond its limit or
writes something else, the end of what it printed is shown, and --out stays as it was.`,
		Example: "  assay retrain --data patients.csv --label outcome --out model.onnx --limit 30m -- python train.py --seed {seed} {data} {out}",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			f.command.Args = args
			return f.run(c.Context(), u)
		},
	}
	f.data.add(c)
	s := c.Flags()
	s.StringVar(&f.out, "out", "", "the ONNX file to write")
	s.DurationVar(&f.command.Limit, "limit", time.Hour, "how long the command may take, such as 90s or 2h")
	s.Uint64Var(&f.seed, "seed", 1, "what {seed} stands for")
	s.BoolVar(&f.show, "show", false, "show what the command prints, on the error stream")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	c.MarkFlagRequired("out")
	return c
}

// retrained is the result of a training by a command, as printed.
type retrained struct {
	Data    string   `json:"data"`
	Records int      `json:"records"`
	Command []string `json:"command"`
	Seed    uint64   `json:"seed"`
	Shape   []int64  `json:"shape"`
	Classes []string `json:"classes"`
	Out     string   `json:"out"`
	Seconds float64  `json:"seconds"`
}

func (f *retrainFlags) run(ctx context.Context, u *ui) error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	if err := f.command.Validate(); err != nil {
		return usagef("%w", err)
	}
	d, err := f.data.read(ctx, nil, false)
	if err != nil {
		return err
	}
	if f.show {
		f.command.Log = u.streams.Err
	}
	started := time.Now()
	m, err := f.command.Train(ctx, command.Job{Data: f.data.path, Out: f.out, Seed: f.seed, Schema: d.Schema})
	if err != nil {
		return err
	}
	r := retrained{f.data.path, d.Len(), f.command.Args, f.seed, m.Shape, m.Classes, f.out, time.Since(started).Seconds()}
	if f.format == "json" {
		return u.json(r)
	}
	u.row("data", "%s: %d records, %d classes", r.Data, r.Records, len(d.Schema.Label.Classes))
	u.row("model", "takes shape %v, gives %d classes", r.Shape, len(r.Classes))
	u.row("written", "%s, after %.1f s", r.Out, r.Seconds)
	return nil
}
