package train

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"assay/internal/model/ort"
	"assay/internal/privacy"
	"assay/onnx"
)

// Private makes a training DP-SGD (Abadi et al. 2016, arXiv:1607.00133, Algorithm 1), whose model says
// little about any one example: each step takes a Poisson sample of the examples, scales the gradient of each by
// itself to a norm of at most Clip, adds them, adds normal noise, and divides by [Options].Batch, which is the sample's
// expected size. What the optimizer makes of that needs no further proof. [Options.Mechanism] is what a proof counts.
//
// Each example has a run of the graph of its own, so nothing of another can be in its gradient. What no number could be made
// of counts nothing. Losses and accuracies over the examples trained on are not private, and there are none in the result. An
// epoch is as many steps as go through all examples on average, rounded up. Normal numbers are of float64 and
// samplers of floating-point numbers betray a little more than their theory says (Mironov 2012); that is not counted.
type Private struct {
	Clip            float64 // the norm of an example's gradient, at most; above 0, and infinite for none
	NoiseMultiplier float64 // the noise's standard deviation divided by Clip; 0 or more, and 0 proves nothing

	// Key is what samples and noise are drawn from, by ChaCha8. Who knows it can take the noise off again: it must be
	// drawn at random, and be kept secret.
	Key [32]byte
}

// String is the settings, without the key.
func (p *Private) String() string {
	return fmt.Sprintf("DP-SGD, clip %g, noise multiplier %g", p.Clip, p.NoiseMultiplier)
}

// identity tells one private training from another. It shows a digest of the key.
func (p *Private) identity() string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%s, key %x", p, sha256.Sum256(p.Key[:]))
}

// Mechanism is what DP-SGD by the options does to so many examples, of which the noise multiplier is that of Private.
func (o Options) Mechanism(examples int) privacy.Mechanism {
	batch, epochs := o.Batch, o.Epochs
	if batch == 0 {
		batch = usualBatch
	}
	if epochs == 0 {
		epochs = usualEpochs
	}
	size := min(batch, examples)
	return privacy.Mechanism{
		SampleRate: float64(size) / float64(examples), NoiseMultiplier: o.Private.NoiseMultiplier,
		Steps: epochs * ((examples + size - 1) / size),
	}
}

// check refuses settings and options that leave nothing to prove.
func (p *Private) check(d *Data, o *Options) error {
	switch {
	case p == nil:
		return nil
	case !(p.Clip > 0):
		return fmt.Errorf("gradients cannot be clipped to a norm of %g: give one above 0", p.Clip)
	case !(p.NoiseMultiplier >= 0 && p.NoiseMultiplier <= 1e6):
		return fmt.Errorf("a noise multiplier of %g: give from 0 to 1e6", p.NoiseMultiplier)
	case math.IsInf(p.Clip, 0) && p.NoiseMultiplier > 0:
		return errors.New("noise is in units of the norm that gradients are clipped to, and they are not clipped: give a norm")
	case d.Weights != nil:
		return errors.New("examples that count differently have no common bound on what one adds: train without weights")
	case o.Perturb != nil || o.Pair != nil:
		return errors.New("what perturbs a batch sees all of it, so that DP-SGD proves nothing: train without")
	}
	return nil
}

// checkPrivate refuses models of which nothing can be proven.
func (p *plan) checkPrivate(o *Options) error {
	switch {
	case o.Private == nil:
		return nil
	case len(p.statistics) > 0:
		return fmt.Errorf("the model has batch normalisation (%q): the statistics of a batch are of all its examples, so that no example has a gradient of its own, and they are written into the model; "+
			"use a network without, such as mlp or cnn, or freeze its parameters", p.statistics[0].norm)
	case len(p.dropouts) > 0:
		return fmt.Errorf("the model has dropout (%q), which DP-SGD here does not draw: take it out, as the noise does what it is for", p.dropouts[0])
	case p.batch > 1:
		return fmt.Errorf("the model takes batches of %d examples only, and DP-SGD needs gradients of one: export it with a batch of any size", p.batch)
	}
	return nil
}

// lanes are how many sums a sample's gradients are added up in. It is fixed, so that the number of processors does not
// change the result.
const lanes = 8

// lane works on one example at a time.
type lane struct {
	batch *Batch // of one example
	grads []float32
	sum   []float64 // of the clipped gradients
	bound *ort.Binding
}

// privateSteps gives the gradients of DP-SGD.
type privateSteps struct {
	*Private
	feeder  *feeder
	session *ort.Session
	lanes   [lanes]*lane
	total   []float64 // of the lanes, then the noise
	threads int
}

func (t *training) newPrivateSteps() (_ *privateSteps, err error) {
	s := &privateSteps{Private: t.Private, feeder: t.feeder, threads: min(t.Threads, lanes), total: make([]float64, len(t.memory.grads))}
	if s.session, err = ort.New(t.graph, ort.Options{Threads: 1, Library: t.Library}); err != nil {
		return nil, err
	}
	for i := range s.lanes {
		l := &lane{batch: t.plan.newBatch(1, t.feeder.data), grads: make([]float32, len(t.memory.grads)), sum: make([]float64, len(t.memory.grads))}
		s.lanes[i] = l
		outputs := l.batch.outputs()
		for k, w := range t.plan.parameters {
			at := t.memory.segments[k]
			outputs = append(outputs, view(l.grads[at.start:at.end], w.shape))
		}
		inputs := append(slices.Concat(l.batch.inputs(t.plan), t.memory.parameters), ort.NewTensor(l.batch.Weights))
		if l.bound, err = s.session.Bind(inputs, outputs); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

func (s *privateSteps) close() {
	for _, l := range s.lanes {
		if l != nil && l.bound != nil {
			l.bound.Close()
		}
	}
	s.session.Close()
}

// What is drawn from the key.
const (
	keySample byte = iota + 1
	keyNoise
)

// stream gives the random numbers of a purpose in a step alone.
func (p *Private) stream(purpose byte, epoch, step int) *rand.Rand {
	seed := append(p.Key[:len(p.Key):len(p.Key)], purpose)
	seed = binary.LittleEndian.AppendUint64(seed, uint64(epoch))
	seed = binary.LittleEndian.AppendUint64(seed, uint64(step))
	return rand.New(rand.NewChaCha8(sha256.Sum256(seed)))
}

// sample draws the examples of a step: each with the same probability, by itself.
func (s *privateSteps) sample(epoch, step int) (indices []int) {
	n := s.feeder.data.Len()
	random, rate := s.stream(keySample, epoch, step), float64(s.feeder.size)/float64(n)
	for i := range n {
		if random.Float64() < rate {
			indices = append(indices, i)
		}
	}
	return indices
}

// add puts the sum of the examples' clipped gradients into total.
func (s *privateSteps) add(ctx context.Context, indices []int, epoch, step int) error {
	var wg sync.WaitGroup
	failed := make([]error, s.threads)
	for worker := range s.threads {
		wg.Go(func() {
			for k := worker; k < lanes && failed[worker] == nil; k += s.threads {
				failed[worker] = s.addLane(ctx, k, indices, epoch, step)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	clear(s.total)
	for _, l := range s.lanes {
		for i, v := range l.sum {
			s.total[i] += v
		}
	}
	return nil
}

// addLane adds up the gradients of a lane's share of the examples.
func (s *privateSteps) addLane(ctx context.Context, k int, indices []int, epoch, step int) error {
	l := s.lanes[k]
	clear(l.sum)
	a := newAugmenter(s.feeder.augment, s.feeder.data.Shape)
	for i := k; i < len(indices); i += lanes {
		s.feeder.load(l.batch, a, indices[i:i+1], epoch, step)
		if err := l.bound.Run(ctx); err != nil {
			return err
		}
		l.clip(s.Clip)
	}
	return nil
}

// clip adds the example's gradient, scaled to a norm of at most c. One that is not finite counts nothing.
func (l *lane) clip(c float64) {
	squares := 0.0
	for _, g := range l.grads {
		squares += float64(g) * float64(g)
	}
	norm := math.Sqrt(squares)
	if math.IsNaN(norm) || math.IsInf(norm, 0) {
		return
	}
	factor := 1.0
	if norm > c {
		factor = c / norm * (1 - 1e-12) // so that rounding does not make it longer
	}
	for i, g := range l.grads {
		l.sum[i] += factor * float64(g)
	}
}

// gradient writes the step's noisy mean gradient.
func (s *privateSteps) gradient(grads []float32, epoch, step int) {
	random, deviation := s.stream(keyNoise, epoch, step), s.NoiseMultiplier*s.Clip
	for i, v := range s.total {
		if s.NoiseMultiplier > 0 {
			v += deviation * random.NormFloat64()
		}
		grads[i] = float32(v / float64(s.feeder.size))
	}
}

// privateEpoch does the steps of an epoch.
func (t *training) privateEpoch(ctx context.Context) error {
	if t.private == nil {
		var err error
		if t.private, err = t.newPrivateSteps(); err != nil {
			return err
		}
	}
	for step := range t.feeder.steps() {
		indices := t.private.sample(t.epoch, step)
		started := t.Now()
		if err := t.private.add(ctx, indices, t.epoch, step); err != nil {
			return err
		}
		t.meter.runtime += t.Now().Sub(started)
		t.private.gradient(t.memory.grads, t.epoch, step)
		if !finite(t.memory.grads) {
			return &Diverged{Epoch: t.epoch, Step: step}
		}
		t.follow(step)
		t.meter.seen += len(indices)
		t.meter.tell(step)
	}
	return nil
}

// Rescale gives a model that takes examples in their own units and hands (x - middle)/half on to the one given, where
// low and high are limits of each number that are known without the data: what [Standardize] is for, without
// looking at examples. Numbers without two different finite limits are left as they are. Of images of several
// channels, limits are of each pixel.
func Rescale(m *onnx.Model, shape []int, low, high []float64) (*onnx.Model, error) {
	middle, half := make([]float64, len(low)), make([]float64, len(low))
	for i := range low {
		half[i] = 1
		if h := (high[i] - low[i]) / 2; h > 0 && !math.IsInf(h, 0) {
			middle[i], half[i] = low[i]+h, h
		}
	}
	return shifted(m, shape, middle, half)
}
