package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/internal/model/ort"
	"assay/internal/privacy"
	"assay/onnx"
)

// values are the numbers that a model is made of, copied.
type values struct{ weights, running []float32 }

func (m *memory) values() values {
	return values{slices.Clone(m.weights), slices.Clone(m.running)}
}

// keep copies the numbers into v, which has room for them.
func (m *memory) keep(v values) {
	copy(v.weights, m.weights)
	copy(v.running, m.running)
}

// training is a run of training between steps.
type training struct {
	*Options
	plan      *plan
	memory    *memory
	state     *state
	graph     *onnx.Model   // of the steps
	steps     *runner       // nil until an epoch begins, where its graph is the epoch's own
	slopes    *runner       // gradients with respect to the input; nil until somebody asks
	private   *privateSteps // in place of steps; nil until an epoch begins, and without DP-SGD
	evaluator *evaluator    // of the validation's examples, or nil
	feeder    *feeder
	meter     *meter

	epoch     int // that comes next
	history   []Epoch
	good      values // the last that gave a finite loss at the start of an epoch
	best      values // with the smallest validation loss, where there is patience
	bestEpoch int
	early     bool
	resumed   int
	digest    string                 // of all that decides the result
	views     map[string]*ort.Tensor // of the weights, by name
}

func newTraining(m *onnx.Model, d *Data, o *Options) (*training, error) {
	m = separated(m)
	p, err := newPlan(m, d, o)
	if err != nil {
		return nil, err
	}
	if err := p.takeParameters(o.Frozen); err != nil {
		return nil, err
	}
	if err := errors.Join(p.checkPairs(o), p.checkPrivate(o)); err != nil {
		return nil, err
	}
	if p.batch > d.Len() {
		return nil, fmt.Errorf("the model takes %d examples at once, and there are %d", p.batch, d.Len())
	}
	t := &training{Options: o, plan: p, feeder: p.newFeeder(d, o), bestEpoch: -1}
	if t.memory, err = newMemory(p); err != nil {
		return nil, err
	}
	t.views = p.views(t.memory)
	t.good, t.best = t.memory.values(), t.memory.values()
	t.state = o.Optimizer.newState(len(t.memory.weights))
	if t.graph, err = p.trainingGraph(o); err != nil {
		return nil, err
	}
	if o.Validation != nil {
		if err := o.Validation.checkClasses(p.classes); err != nil {
			return nil, fmt.Errorf("validation: %w", err)
		}
		if t.evaluator, err = p.newEvaluator(t.memory, o.Validation, o); err != nil {
			return nil, err
		}
	}
	if o.Checkpoint != "" {
		if t.digest, err = fingerprint(m, d, o); err != nil {
			return nil, err
		}
	}
	t.meter = newMeter(o, t.feeder)
	return t, nil
}

func (t *training) close() {
	if t.steps != nil {
		t.steps.close()
	}
	if t.slopes != nil {
		t.slopes.close()
	}
	if t.private != nil {
		t.private.close()
	}
	if t.evaluator != nil {
		t.evaluator.close()
	}
}

// runEpoch goes once through the data, and measures the model then.
func (t *training) runEpoch(ctx context.Context) error {
	t.meter.begin(t.epoch)
	steps := t.publicEpoch
	if t.Private != nil {
		steps = t.privateEpoch
	}
	if err := steps(ctx); err != nil {
		return err
	}
	e := Epoch{Training: t.meter.score()}
	if err := t.validate(ctx, &e); err != nil {
		return err
	}
	t.history = append(t.history, e)
	t.meter.end(e)
	t.epoch++
	return nil
}

// publicEpoch does the steps of an epoch, without DP-SGD.
func (t *training) publicEpoch(ctx context.Context) error {
	if err := t.prepare(); err != nil {
		return err
	}
	feeding, stop := context.WithCancel(ctx)
	batches := t.feeder.epoch(feeding, t.epoch)
	defer func() {
		stop()
		for b := range batches { // until the feeder has ended
			t.feeder.done(b)
		}
	}()
	for b := range batches {
		err := t.step(ctx, b)
		t.feeder.done(b)
		if err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return nil
}

// prepare makes the session. The runtime's dropout draws from the seed in its node
// and what it drew before; so that a resumed run draws the same, each epoch has
// its own session then.
func (t *training) prepare() (err error) {
	if t.steps != nil && len(t.plan.dropouts) == 0 {
		return nil
	}
	if t.steps != nil {
		t.steps.close()
		t.steps = nil
	}
	reseed(t.graph.Graph, stream(t.Seed, purposeDropout, uint64(t.epoch), 0))
	t.steps, err = t.plan.newRunner(t.graph, t.memory.parameters, slices.Concat(t.memory.gradients, t.memory.measured), true, t.Options)
	if err != nil {
		return err
	}
	t.steps.paired = t.Pair != nil
	return nil
}

func (t *training) step(ctx context.Context, b *Batch) error {
	if t.Perturb != nil {
		b.Model, b.climb = t.views, t.climb
		if t.Pair != nil {
			b.clean = append(b.clean[:0], b.X...)
		}
		if err := t.Perturb(ctx, b); err != nil {
			return fmt.Errorf("epoch %d, step %d: the batch could not be perturbed: %w", b.Epoch+1, b.Step+1, err)
		}
	}
	started := t.Now()
	if err := t.steps.run(ctx, b); err != nil {
		return err
	}
	t.meter.runtime += t.Now().Sub(started)
	if !t.meter.add(b) || !finite(t.memory.grads) {
		return &Diverged{Epoch: b.Epoch, Step: b.Step}
	}
	t.follow(b.Step)
	t.memory.absorb(t.plan.statistics)
	t.meter.tell(b.Step)
	return nil
}

// follow changes the weights by the gradients of a step of the epoch at hand.
func (t *training) follow(step int) {
	if step == 0 {
		t.memory.keep(t.good)
	}
	total := t.Epochs * t.feeder.steps()
	rate := t.Optimizer.Rate * t.Schedule.At(t.epoch*t.feeder.steps()+step, total)
	t.Optimizer.step(t.state, t.memory.weights, t.memory.grads, t.memory.segments, rate)
}

// climb puts the gradient of each example's loss with respect to its input into a batch.
func (t *training) climb(ctx context.Context, b *Batch) error {
	if t.slopes == nil {
		graph, err := t.plan.slopeGraph(t.Options)
		if err != nil {
			return err
		}
		if t.slopes, err = t.plan.newRunner(graph, slices.Concat(t.memory.parameters, t.memory.statistics), nil, false, t.Options); err != nil {
			return err
		}
		t.slopes.slope, t.slopes.paired = true, t.Pair != nil
	}
	return t.slopes.run(ctx, b)
}

// finite reports whether all numbers are finite: the sum of 0·x is 0 then, and NaN otherwise.
func finite(x []float32) bool {
	sum := float32(0)
	for _, v := range x {
		sum += 0 * v
	}
	return sum == 0
}

// validate measures the model, keeps the best weights, and decides whether to stop.
func (t *training) validate(ctx context.Context, e *Epoch) error {
	if t.evaluator == nil {
		return nil
	}
	score, err := t.evaluator.score(ctx)
	if err != nil {
		return err
	}
	if math.IsNaN(score.Loss) || math.IsInf(score.Loss, 0) {
		return &Diverged{Epoch: t.epoch, Step: t.feeder.steps()}
	}
	e.Validation = &score
	if t.Patience == 0 {
		return nil
	}
	if smallest := t.smallest(); score.Loss < smallest {
		t.memory.keep(t.best)
		t.bestEpoch = t.epoch
	}
	t.early = t.epoch-t.bestEpoch >= t.Patience
	return nil
}

// smallest is the validation loss of the best epoch so far.
func (t *training) smallest() float64 {
	if t.bestEpoch < 0 {
		return math.Inf(1)
	}
	return t.history[t.bestEpoch].Validation.Loss
}

// result gives the model with the given numbers.
func (t *training) result(v values, epoch int) (*Result, error) {
	m, err := t.plan.model(v)
	if err != nil {
		return nil, err
	}
	delete(m.Metadata, privacy.Entry) // what was proven of the model as it was given does not hold for this one
	return &Result{Model: m, History: t.history, Best: epoch, Early: t.early, Weights: len(t.memory.weights), Resumed: t.resumed}, nil
}

// maxVector bounds the vectors that separated makes copies of.
const maxVector = 1 << 16

// separated gives each node vectors of its own. Exporters write equal constants only
// once, so that in a model that is not trained yet all biases, or all parameters and
// statistics of normalisation, can be one; training makes them differ. Matrices are
// left alone: where they are shared, that is meant.
func separated(m *onnx.Model) *onnx.Model {
	m = m.Clone()
	vectors := map[string]*onnx.Tensor{}
	for _, t := range m.Graph.Initializers {
		if t.Type.IsFloat() && len(t.Shape) == 1 && t.Len() <= maxVector {
			vectors[t.Name] = t
		}
	}
	used := map[string]bool{}
	b := onnx.Extend(m.Graph)
	for _, n := range m.Graph.Nodes {
		for i, name := range n.Inputs {
			if t := vectors[name]; t != nil && used[name] {
				n.Inputs[i] = b.Weight(t)
			}
			used[name] = true
		}
	}
	return m
}
