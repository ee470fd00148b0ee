package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"assay/internal/method/canary"
	"assay/internal/privacy"
	"assay/internal/train"
	"assay/onnx"
)

// canaryFlags are the flags of assay audit-privacy canaries.
type canaryFlags struct {
	data     dataFlags
	training shadowFlags
	kind     string
	options  canary.Options
	threads  int
	format   string
}

func canariesCommand(u *ui) *cobra.Command {
	f := &canaryFlags{}
	o := &f.options
	c := &cobra.Command{
		Use:   "canaries --data DATA",
		Short: "Bound from below, by one training, how private trainings like it are",
		Long: `Bound from below, by one training, how private trainings like it are.

Canaries are put into the data or left out, each by a fair coin, and a model is trained
once. Who guesses the coins from the model better than by chance has shown that the
training is not (epsilon, delta)-private with a smaller epsilon than is told (Steinke et al.
2023). The exposure of the canaries is told beside (Carlini et al. 2019).

With --claimed-epsilon the exit code is 1 if the claim is refuted. That it is not does not prove it.`,
		Example: `  assay audit-privacy canaries --data train.csv --label outcome --count 1000 --claimed-epsilon 3 --delta 1e-5`,
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c.Context(), u) },
	}
	f.data.add(c)
	f.training.add(c)
	f.training.dp.add(c)
	s := c.Flags()
	s.StringVar(&f.kind, "kind", string(canary.Mislabelled), "of canaries: mislabelled (records with another class) or random (inputs and classes)")
	s.IntVar(&o.Count, "count", 500, "canaries, half of which are put in")
	s.Float64Var(&o.Claimed, "claimed-epsilon", 0, "that the training is said to have; 0 for none")
	s.Float64Var(&o.Delta, "delta", 1e-5, "to which the epsilon belongs")
	s.Float64Var(&o.Confidence, "confidence", 0.95, "of the lower bound")
	s.Uint64Var(&o.Seed, "seed", 0, "of everything that is drawn at random")
	s.IntVar(&f.threads, "threads", 0, "processors to use (all)")
	s.StringVar(&f.format, "format", "text", "of the result: text or json")
	return c
}

// canaryAudit is the result of an audit, for programs.
type canaryAudit struct {
	Data    string `json:"data"`
	Records int    `json:"records"`
	*canary.Result
	Delta      float64            `json:"delta"`
	Proven     *privacy.Guarantee `json:"proven,omitempty"` // by DP-SGD
	Confidence float64            `json:"confidence"`
	Seconds    float64            `json:"seconds"`
}

func (f *canaryFlags) run(ctx context.Context, u *ui) error {
	if err := f.check(); err != nil {
		return err
	}
	started := time.Now()
	records, err := f.data.read(ctx, nil, false)
	if err != nil {
		return err
	}
	if records.Y == nil {
		return fmt.Errorf("%s has no labels: name their column with --label, or their file with --label-file", f.data.path)
	}
	b, err := f.training.trainer(train.FromDataset(records), records.Schema)
	if err != nil {
		return err
	}
	var proven *privacy.Guarantee
	r, err := canary.Run(ctx, b.Data, func(ctx context.Context, d *train.Data) (*onnx.Model, error) {
		o := b.Options
		// The coins' seed is not the training's, so that neither tells of the other.
		o.Seed, o.Threads, o.Progress = rand.New(rand.NewPCG(f.options.Seed, 1)).Uint64(), f.threads, u.training
		m, err := b.Network(o.Seed, d)
		if err != nil {
			return nil, err
		}
		if f.training.dp.on() { // nobody but this audit sees the model, so the key may be the seed's
			if proven, err = f.training.dp.apply(&o, d.Len(), sha256.Sum256(binary.LittleEndian.AppendUint64(nil, o.Seed))); err != nil {
				return nil, err
			}
		}
		trained, err := train.Run(ctx, m, d, o)
		u.done()
		if err != nil {
			return nil, err
		}
		return trained.Model, nil
	}, f.options)
	if err != nil {
		return err
	}
	a := &canaryAudit{Data: f.data.path, Records: records.Len(), Result: r, Proven: proven, Delta: f.options.Delta, Confidence: f.options.Confidence, Seconds: time.Since(started).Seconds()}
	if f.format == "json" {
		err = u.json(a)
	} else {
		u.canaries(a)
	}
	if err == nil && r.Refuted {
		err = errFailed
	}
	return err
}

// check refuses what no data could change.
func (f *canaryFlags) check() error {
	f.options.Kind = canary.Kind(f.kind)
	if !slices.Contains(canary.Kinds(), f.options.Kind) {
		return usagef("--kind %s: use mislabelled or random", f.kind)
	}
	if f.threads < 0 {
		return usagef("--threads %d: give the number of processors, or 0 for all", f.threads)
	}
	return errors.Join(checkFormat(f.format), f.training.dp.check(""))
}

// canaries prints the result of an audit.
func (u *ui) canaries(a *canaryAudit) {
	u.row("data", "%s, %d records", a.Data, a.Records)
	u.row("canaries", "%d, %s, of which %d were put in", a.Canaries, a.Kind, a.Inserted)
	u.row("guesses", "%d, of which %d are correct", a.Guesses, a.Correct)
	u.row("epsilon", "at least %.3f at a delta of %g, at %g %% confidence", a.Epsilon, a.Delta, 100*a.Confidence)
	if p := a.Proven; p != nil {
		u.row("proven", "epsilon at most %.3f at a delta of %g, by DP-SGD with the noise multiplier %.4g", p.Epsilon, p.Delta, p.NoiseMultiplier)
	}
	if a.Claimed > 0 {
		u.row("claimed", "%g, which is %s", a.Claimed, map[bool]string{true: "refuted", false: "not refuted"}[a.Refuted])
	}
	u.row("exposure", "%.2f bits on average and %.2f at most, of %.2f; without memory the average is near 1.44", a.Exposure.Mean, a.Exposure.Largest, a.Exposure.Most)
	u.row("time", "%.1f s", a.Seconds)
}
