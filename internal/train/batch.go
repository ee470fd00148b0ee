package train

import (
	"context"
	"math/rand/v2"

	"assay/internal/model/ort"
)

// Batch is the examples of one step.
type Batch struct {
	X       []float32 // the examples' inputs, augmented, one after the other
	Classes []int64   // nil for regression
	Targets []float32 // nil for classification
	Weights []float32 // by which each example's gradient counts in the step's: they add up to about 1
	Index   []int     // which of the data each example is, from 0
	Epoch   int       // from 0
	Step    int       // of the epoch, from 0

	// Model gives the weights as they are now, under their names in the model: views
	// of the memory in which training keeps them, not to be changed.
	Model map[string]*ort.Tensor

	seed   uint64
	clean  []float32 // X before it was perturbed, for losses of pairs
	raw    []float32 // each example's weight in the data
	loss   []float32 // of each example, after the step
	scores []float32
	slope  []float32 // of each example's loss by its input; nil until somebody asks
	climb  func(ctx context.Context, b *Batch) error
}

// InputGradient gives the gradient of each example's loss, or of what a [Pair] climbs, with
// respect to its input, as X and the weights are now: as many numbers as X has, to be used
// until the next call.
// The model is as in use: batch normalisation by the running statistics, no dropout.
func (b *Batch) InputGradient(ctx context.Context) ([]float32, error) {
	if b.slope == nil {
		b.slope = make([]float32, len(b.X))
	}
	return b.slope, b.climb(ctx, b)
}

// Rand gives random numbers to perturb example i of the batch with. They depend on the
// seed, the epoch and which of the data it is, not on the batch that it is in.
func (b *Batch) Rand(i int) *rand.Rand {
	return rand.New(stream(b.seed, purposePerturb, uint64(b.Epoch), uint64(b.Index[i])))
}

// newBatch makes the memory for so many examples.
func (p *plan) newBatch(size int, d *Data) *Batch {
	b := &Batch{
		X: make([]float32, size*d.width()), Weights: make([]float32, size), Index: make([]int, size), raw: make([]float32, size),
		loss: make([]float32, size), scores: make([]float32, size*max(p.classes, p.columns)),
	}
	if p.classes > 0 {
		b.Classes = make([]int64, size)
	} else {
		b.Targets = make([]float32, size*p.columns)
	}
	return b
}

// Len is the number of examples.
func (b *Batch) Len() int { return len(b.Weights) }

// inputs are the batch's examples and labels as a graph takes them.
func (b *Batch) inputs(p *plan) []*ort.Tensor {
	n := int64(b.Len())
	shape := []int64{n}
	for _, d := range p.input.Type.Shape[1:] {
		shape = append(shape, d.Size)
	}
	labels := ort.NewTensor(b.Classes)
	if p.classes == 0 {
		labels = ort.NewTensor(b.Targets, n, int64(p.columns))
	}
	return []*ort.Tensor{ort.NewTensor(b.X, shape...), labels}
}

// outputs is where a graph puts the losses and scores.
func (b *Batch) outputs() []*ort.Tensor {
	n := int64(b.Len())
	return []*ort.Tensor{ort.NewTensor(b.loss), ort.NewTensor(b.scores, n, int64(len(b.scores))/n)}
}

// fill takes examples from the data. Where there are fewer than the batch has room
// for, the first one stands in the rest, with no weight.
func (b *Batch) fill(d *Data, indices []int, meanWeight float64) {
	width, targets := d.width(), d.targets()
	share := float32(1 / (float64(len(indices)) * meanWeight))
	for i := range b.Weights {
		index, counts := indices[0], float32(0)
		if i < len(indices) {
			index = indices[i]
			counts = d.weight(index)
		}
		b.Index[i] = index
		copy(b.X[i*width:(i+1)*width], d.X[index*width:])
		if b.Classes != nil {
			b.Classes[i] = int64(d.Classes[index])
		} else {
			copy(b.Targets[i*targets:(i+1)*targets], d.Targets[index*targets:])
		}
		b.raw[i], b.Weights[i] = counts, counts*share
	}
}

// feeder prepares the batches of an epoch while the runtime works on the ones before.
type feeder struct {
	data    *Data
	augment Augmentation
	seed    uint64
	mean    float64
	full    chan *Batch // free memory for a batch
	rest    chan *Batch // and for what is left at the end of an epoch
	size    int
	left    int
}

// newFeeder decides how an epoch is cut into batches. What does not fill the last
// one is a smaller batch; it is left out where the model takes batches of one size
// only, or is a single example whose own statistics batch normalisation would use.
func (p *plan) newFeeder(d *Data, o *Options) *feeder {
	f := &feeder{data: d, augment: o.Augment, seed: o.Seed, mean: d.meanWeight(), full: make(chan *Batch, 2), rest: make(chan *Batch, 1)}
	f.size = min(o.Batch, d.Len())
	if p.batch > 0 {
		f.size = p.batch
	}
	for range cap(f.full) {
		f.full <- p.newBatch(f.size, d)
	}
	f.left = d.Len() % f.size
	if p.batch > 0 || f.left == 1 && len(p.statistics) > 0 {
		f.left = 0
	}
	if f.left > 0 {
		f.rest <- p.newBatch(f.left, d)
	}
	return f
}

// steps is the number of batches of an epoch.
func (f *feeder) steps() int { return f.data.Len()/f.size + min(f.left, 1) }

// examples is the number of examples of an epoch.
func (f *feeder) examples() int { return f.data.Len()/f.size*f.size + f.left }

// epoch goes once through the data in an order of its own. Each batch is to be
// given back to done; the context ends the work early.
func (f *feeder) epoch(ctx context.Context, epoch int) <-chan *Batch {
	ready := make(chan *Batch) // holds none itself: one batch is worked on, the other waits
	go func() {
		defer close(ready)
		order := rand.New(stream(f.seed, purposeOrder, uint64(epoch), 0)).Perm(f.data.Len())[:f.examples()]
		a := newAugmenter(f.augment, f.data.Shape)
		for step := 0; len(order) > 0; step++ {
			n := min(f.size, len(order))
			free := f.full
			if n < f.size {
				free = f.rest
			}
			var b *Batch
			select {
			case b = <-free:
			case <-ctx.Done():
				return
			}
			f.load(b, a, order[:n], epoch, step)
			order = order[n:]
			select {
			case ready <- b:
			case <-ctx.Done():
				f.done(b)
				return
			}
		}
	}()
	return ready
}

// load puts examples into a batch, augmented.
func (f *feeder) load(b *Batch, a *augmenter, indices []int, epoch, step int) {
	b.Epoch, b.Step, b.seed = epoch, step, f.seed
	b.fill(f.data, indices, f.mean)
	if !a.active() {
		return
	}
	width := f.data.width()
	for i, index := range indices {
		a.source.Seed(seeds(f.seed, purposeAugment, uint64(epoch), uint64(index)))
		a.apply(b.X[i*width : (i+1)*width])
	}
}

// done gives a batch's memory back.
func (f *feeder) done(b *Batch) {
	if b.Len() == f.size {
		f.full <- b
	} else {
		f.rest <- b
	}
}

// What random numbers are drawn for. Each purpose has streams of its own.
const (
	purposeOrder uint64 = iota + 1
	purposeAugment
	purposeDropout
	purposePerturb
)

// stream is the random numbers for one purpose and thing alone, so that no draw
// depends on who makes the others.
func stream(seed, purpose, epoch, index uint64) *rand.PCG {
	return rand.NewPCG(seeds(seed, purpose, epoch, index))
}

// seeds mixes numbers that may differ by little into two that differ by much, with
// the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
func seeds(seed, purpose, epoch, index uint64) (high, low uint64) {
	high = mix(mix(seed+golden) + purpose)
	low = mix(mix(high+epoch*golden) + index)
	return high, low
}

const golden = 0x9e3779b97f4a7c15

func mix(x uint64) uint64 {
	x += golden
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// views names the tensors that hold the model's parameters.
func (p *plan) views(m *memory) map[string]*ort.Tensor {
	named := make(map[string]*ort.Tensor, len(p.parameters))
	for i, w := range p.parameters {
		named[w.name] = m.parameters[i]
	}
	return named
}
