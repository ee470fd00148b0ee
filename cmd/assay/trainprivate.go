package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"assay/internal/certificate"
	"assay/internal/dataset"
	"assay/internal/privacy"
	"assay/internal/train"
	"assay/onnx"
)

// privateFlags make a training DP-SGD.
type privateFlags struct {
	epsilon, delta, clip float64
	key                  string
}

func (f *privateFlags) add(c *cobra.Command) {
	s := c.Flags()
	s.Float64Var(&f.epsilon, "dp-epsilon", 0, "train by DP-SGD with the least noise that proves this epsilon; 0 for without")
	s.Float64Var(&f.delta, "dp-delta", 1e-5, "to which the epsilon belongs: far less than 1 divided by the number of records")
	s.Float64Var(&f.clip, "dp-clip", 1, "the norm that the gradient of each record is clipped to")
}

// addKey declares the flag of trainings whose model is to be given away.
func (f *privateFlags) addKey(c *cobra.Command) {
	c.Flags().StringVar(&f.key, "dp-key", "", "a secret file that DP-SGD draws from, made where there is none; without, no training is like another")
}

func (f *privateFlags) on() bool { return f.epsilon != 0 }

// check refuses what no data could change.
func (f *privateFlags) check(checkpoint string) error {
	switch {
	case !f.on() && f.key != "":
		return usagef("--dp-key is for DP-SGD: give --dp-epsilon, such as 8")
	case f.on() && checkpoint != "" && f.key == "":
		return usagef("--checkpoint: what goes on must draw as before: give --dp-key, a secret file")
	case !(f.epsilon >= 0):
		return usagef("--dp-epsilon %g: give one above 0", f.epsilon)
	}
	return nil
}

// apply makes a training of so many records DP-SGD, and tells what that proves.
func (f *privateFlags) apply(o *train.Options, records int, key [32]byte) (*privacy.Guarantee, error) {
	o.Private = &train.Private{Clip: f.clip, Key: key}
	m := o.Mechanism(records)
	noise, err := privacy.NoiseFor(m.SampleRate, m.Steps, f.epsilon, f.delta)
	if err != nil {
		return nil, fmt.Errorf("--dp-epsilon: %w", err)
	}
	o.Private.NoiseMultiplier = noise
	return privacy.Prove(o.Mechanism(records), f.clip, f.delta)
}

// secret reads the key, or draws one, and keeps it where it is to be kept.
func (f *privateFlags) secret() (key [32]byte, err error) {
	if f.key != "" {
		file, err := os.Open(f.key)
		if err == nil {
			defer file.Close()
			text, err := io.ReadAll(io.LimitReader(file, 1<<10))
			if err != nil {
				return key, fmt.Errorf("--dp-key: %w", err)
			}
			read, err := hex.DecodeString(strings.TrimSpace(string(text)))
			if err != nil || len(read) != len(key) {
				return key, fmt.Errorf("--dp-key %s: it is no key of 64 hexadecimal digits: give the path of a new file, and one is made", f.key)
			}
			return [32]byte(read), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return key, fmt.Errorf("--dp-key: %w", err)
		}
	}
	if _, err := rand.Read(key[:]); err != nil {
		return key, err
	}
	if f.key == "" {
		return key, nil
	}
	file, err := os.OpenFile(f.key, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return key, fmt.Errorf("--dp-key: %w", err)
	}
	_, err = fmt.Fprintf(file, "%x\n", key)
	if err = errors.Join(err, file.Close()); err != nil {
		os.Remove(f.key)
		return key, fmt.Errorf("--dp-key: %w", err)
	}
	return key, nil
}

// rescaled lets a network take the data in their own units, by the limits in the schema alone: figures of the
// records would say something about them.
func rescaled(m *onnx.Model, s *split) (*onnx.Model, error) {
	var low, high []float64
	for _, c := range unobserved(s.schema).Columns() {
		low, high = append(low, float64(c.Min)), append(high, float64(c.Max))
	}
	if shape := s.training.Shape; len(shape) == 3 { // one feature describes all places
		low, high = low[:shape[0]], high[:shape[0]]
	}
	return train.Rescale(m, s.training.Shape, low, high)
}

// unobserved is a schema without the ranges that were observed in data.
func unobserved(s *dataset.Schema) *dataset.Schema {
	out := *s
	out.Features = slices.Clone(s.Features)
	for i := range out.Features {
		out.Features[i].Observed = nil
	}
	return &out
}

// proven is what a private training proves, as printed.
type proven struct {
	*privacy.Guarantee
	Poisoned []certificate.Influence `json:"certified_poisoned"`
}

// influence tells what poisoned records gain.
func influence(ctx context.Context, g *privacy.Guarantee) (list []certificate.Influence, err error) {
	const rate = 0.01
	for _, records := range []int{1, 2, 5, 10} {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		upper, err := privacy.Influence(g.Mechanism, records, rate)
		if err != nil {
			return nil, err
		}
		list = append(list, certificate.Influence{Budget: records, Rate: rate, Upper: upper})
	}
	return list, nil
}

// private writes into a model what was proven of its training, and tells it.
func (f *trainFlags) private(ctx context.Context, m *onnx.Model, g *privacy.Guarantee) (*proven, error) {
	text, err := g.Encode()
	if err != nil {
		return nil, err
	}
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[privacy.Entry] = text
	list, err := influence(ctx, g)
	return &proven{g, list}, err
}

// private prints what a training proves.
func (u *ui) private(p *proven) {
	u.row("private", "epsilon %.4g at delta %g, of one record more or less: %d steps, sample rate %.4g, clip %g, noise multiplier %.4g", p.Epsilon, p.Delta, p.Steps, p.SampleRate, p.Clip, p.NoiseMultiplier)
	for _, i := range p.Poisoned {
		u.row("", "what has a probability of %s has at most %s with %d records that an attacker adds", percent(i.Rate), percent(i.Upper), i.Budget)
	}
}
