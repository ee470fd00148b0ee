package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/origin"
	"assay/internal/privacy"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

// trainFlags are the flags of assay train.
type trainFlags struct {
	parts                partFlags
	solution             trainedSolution // that the model is hardened by; nil for none
	without              string          // a model to compare the hardened one with
	admission            admission
	vouched              vouched
	dp                   privateFlags // of assay train itself, and of trainings under audit
	arch, widths         string
	out, format, augment string
	method, schedule     string
	standardize          bool
	options              train.Options
}

func trainCommand(u *ui) *cobra.Command {
	f := &trainFlags{}
	c := &cobra.Command{
		Use:   "train --data DATA --out MODEL.onnx",
		Short: "Train a model, or train one further",
		Long: `Train a model, or train one further.

The data are split into parts to train on, for validation and to test on. A new
model takes the data in their own units: it standardizes them itself. A model that
is given as --arch is trained further as it is.

With --dp-epsilon the training is DP-SGD: what its model says of any one record is bounded,
proven, and written into the model's metadata. It takes its network's units from the limits in
the schema (--schema), not from the records. What is given as --arch, the classes and the
categories must not come from the records either; --dp-key is to be kept secret.
Records for validation and test are not protected.`,
		Example: `  assay train --data examples/diagnosis/breast_cancer.csv --label diagnosis --out model.onnx
  assay train --data train-images-idx3-ubyte.gz --arch cnn --augment crop --out digits.onnx
  assay train --data digits.csv.gz --schema schema.yaml --arch cnn --dp-epsilon 8 --out private.onnx`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c, u) },
	}
	f.add(c)
	f.dp.add(c)
	f.dp.addKey(c)
	return c
}

// add declares the flags that all trainings have.
func (f *trainFlags) add(c *cobra.Command) {
	o := &f.options
	f.parts.add(c)
	f.admission.add(c)
	f.vouched.demanded(c)
	s := c.Flags()
	s.StringSliceVar(&f.vouched.allowed, "allow-source", nil, "with --provenance: "+allowUsage)
	s.StringVar(&f.arch, "arch", "mlp", "logistic, mlp, cnn, resnet20, or a MODEL.onnx to train further")
	s.StringVar(&f.widths, "widths", "", "widths of the layers of mlp (64,32) and cnn (32,32,64,64)")
	s.IntVar(&o.Epochs, "epochs", 30, "how often to go through the data")
	s.IntVar(&o.Batch, "batch", 64, "examples for each step")
	s.Float64Var(&o.Optimizer.Rate, "lr", 0, "learning rate (0.1 for sgd, 0.001 for adam and adamw)")
	s.StringVar(&f.method, "optimizer", "adamw", "sgd, adam or adamw")
	s.Float64Var(&o.Optimizer.Momentum, "momentum", 0.9, "of sgd, with Nesterov's look ahead")
	s.Float64Var(&o.Optimizer.Decay, "weight-decay", 0.01, "of the weights, not of biases and normalisation (0.0001 for sgd and adam)")
	s.StringVar(&f.schedule, "schedule", "one-cycle", "of the learning rate: constant, step, cosine or one-cycle")
	s.Float64Var(&o.Schedule.Warmup, "warmup", 0, "the part of the training in which the learning rate rises")
	s.StringVar(&f.augment, "augment", "", "change examples at random: crop, flip, noise, or such as crop=4,flip,noise=0.1")
	s.IntVar(&o.Patience, "patience", 0, "stop after so many epochs without a smaller validation loss, and keep the best weights")
	s.StringSliceVar(&o.Frozen, "freeze", nil, "weights to leave as they are, by name or pattern")
	s.BoolVar(&f.standardize, "standardize", true, "let a new model standardize its input")
	s.IntVar(&o.Threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.out, "out", "", "the ONNX file to write")
	s.StringVar(&o.Checkpoint, "checkpoint", "", "a folder for the state after each epoch, from which an interrupted training goes on")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	c.MarkFlagRequired("out")
}

// outcome is the result of a training, as printed.
type outcome struct {
	Data     string         `json:"data"`
	Origin   *origin.Report `json:"origin,omitempty"` // of the data, where that was demanded
	Shape    []int          `json:"shape"`
	Classes  []string       `json:"classes"`
	Examples map[string]int `json:"examples"`
	Arch     string         `json:"arch"`
	Weights  int            `json:"weights"`
	Epochs   int            `json:"epochs"`
	Kept     int            `json:"kept"` // the epoch whose weights are kept
	Resumed  int            `json:"resumed,omitempty"`
	Training *train.Score   `json:"training,omitempty"` // as the examples were made for it; nil where it would give them away
	Valid    *train.Score   `json:"validation,omitempty"`
	Test     *train.Score   `json:"test,omitempty"`
	Out      string         `json:"out"`
	Seconds  float64        `json:"seconds"`

	Privacy *proven `json:"privacy,omitempty"`

	*hardening // nil where no solution was used
}

func (f *trainFlags) run(c *cobra.Command, u *ui) error {
	ctx := c.Context()
	if f.method != string(train.AdamW) && !c.Flags().Changed("weight-decay") {
		f.options.Optimizer.Decay = 1e-4
	}
	if err := f.complete(); err != nil {
		return err
	}
	started := time.Now()
	m, known, err := f.given(ctx, u)
	if err != nil {
		return err
	}
	f.options.Seed = f.parts.seed
	parts, verified, err := f.records(ctx, known)
	if err != nil {
		return err
	}
	if m == nil {
		if m, err = f.build(parts); err != nil {
			return err
		}
	}
	o := f.options
	o.Validation, o.Progress = parts.validation, u.training
	if o.Augment, err = augmentation(f.augment, parts.training); err != nil {
		return err
	}
	if f.solution != nil {
		if err := f.solution.apply(parts, &o); err != nil {
			return err
		}
	}
	var guarantee *privacy.Guarantee
	if f.dp.on() {
		key, err := f.dp.secret()
		if err != nil {
			return err
		}
		if guarantee, err = f.dp.apply(&o, parts.training.Len(), key); err != nil {
			return err
		}
		parts.schema = unobserved(parts.schema)
	}
	result, err := train.Run(ctx, m, parts.training, o)
	u.done()
	if err != nil {
		var diverged *train.Diverged
		switch {
		case errors.As(err, &diverged):
			return fmt.Errorf("%w; nothing was written", err)
		case ctx.Err() != nil && o.Checkpoint != "":
			u.note("the same command goes on from the checkpoint in %s", o.Checkpoint)
		}
		return err
	}
	out := f.outcome(parts, result)
	out.Origin = verified
	if parts.test != nil {
		score, err := train.Evaluate(ctx, result.Model, parts.test, train.Options{Threads: o.Threads})
		if err != nil {
			return err
		}
		out.Test = &score
	}
	if err := target.WriteSchema(result.Model, parts.schema); err != nil {
		return err
	}
	if guarantee != nil {
		out.Training = nil
		if out.Privacy, err = f.private(ctx, result.Model, guarantee); err != nil {
			return err
		}
	}
	if f.solution != nil {
		if out.hardening, err = f.hardened(ctx, u, result.Model, parts); err != nil {
			return err
		}
	}
	if err := result.Model.Save(f.out); err != nil {
		return err
	}
	out.Seconds = time.Since(started).Seconds()
	if f.format == "json" {
		return u.json(out)
	}
	u.trained(out)
	return nil
}

// complete checks what cobra does not.
func (f *trainFlags) complete() error {
	if err := checkFormat(f.format); err != nil {
		return err
	}
	o := &f.options
	o.Optimizer.Method, o.Schedule.Kind = train.Method(f.method), train.ScheduleKind(f.schedule)
	if o.Optimizer.Method == train.SGD {
		o.Optimizer.Nesterov = o.Optimizer.Momentum > 0
	}
	if err := errors.Join(f.parts.check(), f.dp.check(o.Checkpoint)); err != nil || f.solution == nil {
		return err
	}
	return f.solution.check()
}

// origin makes sure of where the records come from, where that is demanded.
func (f *trainFlags) origin(ctx context.Context) (*origin.Report, error) {
	r, err := f.vouched.demand(ctx, f.parts.data.path, f.parts.data.labelFile, nil)
	if err == nil && r != nil && r.Wrong > 0 {
		err = assay.WithCode(assay.CodeInput, fmt.Errorf("nothing is trained on %s: %s (assay manifest verify names all)", f.parts.data.path, originText(r)))
	}
	return r, err
}

// records reads the data to train on, of which the origin is verified where that is demanded, and writes the part to test on.
func (f *trainFlags) records(ctx context.Context, known *dataset.Schema) (*split, *origin.Report, error) {
	verified, err := f.origin(ctx)
	if err != nil {
		return nil, nil, err
	}
	parts, err := f.parts.read(ctx, known)
	if err != nil {
		return nil, nil, err
	}
	return parts, verified, f.parts.saveTest(ctx, parts)
}

// given opens the model to be trained further, nil for a new one, and gives the
// schema of the data that it was trained on, where it has one.
func (f *trainFlags) given(ctx context.Context, u *ui) (*onnx.Model, *dataset.Schema, error) {
	if !strings.HasSuffix(f.arch, ".onnx") {
		return nil, nil, nil
	}
	m, err := f.admission.open(ctx, u, f.arch)
	if err != nil {
		return nil, nil, err
	}
	schema, err := target.ReadSchema(m)
	return m, schema, err
}

// build makes a new network for the data.
func (f *trainFlags) build(s *split) (*onnx.Model, error) {
	shape, classes, seed := s.training.Shape, len(s.schema.Label.Classes), f.options.Seed
	if classes < 2 {
		return nil, fmt.Errorf("%s has %d classes, and at least two are needed to tell apart", f.parts.data.path, classes)
	}
	widths, err := f.layers()
	if err != nil {
		return nil, err
	}
	if (f.arch == "cnn" || f.arch == "resnet20") && len(shape) != 3 {
		return nil, usagef("--arch %s is for images, and the examples have the shape %v: give their shape (channels, height, width) in a --schema", f.arch, shape)
	}
	var m *onnx.Model
	switch f.arch {
	case "logistic", "mlp": // of images, too, they take the values in a row
		features := 1
		for _, n := range shape {
			features *= n
		}
		s.reshape([]int{features})
		m = network.MLP(features, widths, classes, seed)
	case "cnn":
		m = network.CNN(shape[0], shape[1], shape[2], widths, classes, seed)
	case "resnet20":
		m = network.ResNet20(shape[0], shape[1], shape[2], classes, seed)
	default:
		return nil, usagef("--arch %s: use logistic, mlp, cnn, resnet20 or a file that ends in .onnx", f.arch)
	}
	if !f.standardize {
		return m, nil
	}
	if f.dp.on() {
		return rescaled(m, s)
	}
	return train.Standardize(m, s.training)
}

// layers reads --widths.
func (f *trainFlags) layers() ([]int, error) {
	usual := map[string][]int{"mlp": {64, 32}, "cnn": {32, 32, 64, 64}}[f.arch]
	if f.widths == "" {
		return usual, nil
	}
	if usual == nil {
		return nil, usagef("--widths are for mlp and cnn, not for %s", f.arch)
	}
	var widths []int
	for text := range strings.SplitSeq(f.widths, ",") {
		w, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || w < 1 || w > 1<<16 {
			return nil, usagef("--widths %s: give numbers such as 64,32", f.widths)
		}
		widths = append(widths, w)
	}
	return widths, nil
}

// augmentation reads --augment.
func augmentation(text string, d *train.Data) (a train.Augmentation, err error) {
	if text == "" {
		return a, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		name, value, given := strings.Cut(strings.TrimSpace(part), "=")
		number := 0.0
		if given {
			if number, err = strconv.ParseFloat(value, 64); err != nil {
				return a, usagef("--augment %s: %q is not a number", text, value)
			}
		}
		switch name {
		case "crop":
			a.Crop = int(number)
			if !given && len(d.Shape) == 3 {
				a.Crop = max(min(d.Shape[1], d.Shape[2])/8, 1)
			}
		case "flip":
			a.Flip = true
		case "noise":
			a.Noise = number
			if !given {
				a.Noise = 0.05 * d.Deviation()
			}
		default:
			return a, usagef("--augment %s: there is no %q: use crop, flip and noise", text, name)
		}
	}
	return a, nil
}

func (f *trainFlags) outcome(s *split, r *train.Result) *outcome {
	out := &outcome{
		Data: f.parts.data.path, Shape: s.training.Shape, Classes: s.schema.Label.Classes, Arch: f.arch,
		Examples: s.sizes(),
		Epochs:   len(r.History), Kept: r.Best + 1, Resumed: r.Resumed, Out: f.out,
		Weights: r.Weights,
	}
	kept := r.History[r.Best]
	out.Training, out.Valid = &kept.Training, kept.Validation
	return out
}

// trained prints the result of a training.
func (u *ui) trained(o *outcome) {
	u.row("data", "%s: examples of shape %v, %d classes", o.Data, o.Shape, len(o.Classes))
	if o.Origin != nil {
		u.row("origin", "%s", originText(o.Origin))
	}
	text := fmt.Sprintf("%d to train on", o.Examples["training"])
	for _, part := range []struct{ name, purpose string }{{"validation", "for validation"}, {"test", "to test on"}} {
		if n := o.Examples[part.name]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, part.purpose)
		}
	}
	u.row("examples", "%s", text)
	text = fmt.Sprintf("%s, %d weights, %d epochs", o.Arch, o.Weights, o.Epochs)
	if o.Kept != o.Epochs {
		text += fmt.Sprintf(", weights of epoch %d", o.Kept)
	}
	if o.Resumed > 0 {
		text += fmt.Sprintf(", %d of them from the checkpoint", o.Resumed)
	}
	u.row("model", "%s", text)
	if o.hardening != nil {
		u.row("hardened", "%s; the training's figures are under it", o.Hardened)
	}
	if o.Training != nil {
		u.row("training", "%s", score(*o.Training))
	}
	if o.Valid != nil {
		u.row("validation", "%s", score(*o.Valid))
	}
	if o.Test != nil {
		u.row("test", "%s", score(*o.Test))
	}
	if o.Privacy != nil {
		u.private(o.Privacy)
	}
	if o.hardening != nil {
		u.hardened(o.hardening)
	}
	u.row("written", "%s, after %.1f s", o.Out, o.Seconds)
}
