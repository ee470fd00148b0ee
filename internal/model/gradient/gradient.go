// Package gradient gives the gradients of an ONNX classifier's losses with respect to
// its input: the port model.Differentiable, by differentiating the graph and running
// what comes of it with ONNX Runtime.
package gradient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"assay/internal/model"
	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/infer"
)

// Options say how a model is taken for a classifier, and how its gradients are run.
// Results depend on neither Batch nor Threads.
type Options struct {
	Override model.Override
	Batch    int    // rows of each call, rounded up; 0 for 32
	Threads  int    // 0 for as many as Go uses
	Library  string // the ONNX Runtime library; see ort.Load

	// Surrogate has gradients taken through steps that have none; see autodiff.Graph.Surrogates. The nodes that the
	// model's metadata name are passed straight through.
	Surrogate bool
}

const (
	defaultBatch = 32
	maxBatch     = 1 << 16
	// together is how many rows a thread runs at once, as far as the model leaves it open. Few
	// stay in its cache. As it is the same for every batch and any number of threads, so are results.
	together = 4
)

// Model is a classifier that gives gradients. It implements model.Differentiable.
//
// The scores that it writes are those that losses are made of: the logits where the
// model makes probabilities of them at its end, as these hide the gradient where they
// are 0 or 1 to rounding (AutoAttack's flags warn of it: Croce et al. 2020, the program's
// checks); else the model's own, or the logarithm of probabilities of another origin.
type Model struct {
	recognised *model.Recognised
	options    Options
	part       int // rows run at once
	straight   []string
	stopped    []string

	mu      sync.Mutex // the memory of runners is for one call at a time
	closed  bool
	runners map[model.Loss]*runner
}

var (
	_ model.Differentiable  = (*Model)(nil)
	_ model.DrawingGradient = (*Model)(nil)
)

// New differentiates a model, which is not changed. The graph of each loss is made when it is first asked
// for, that of cross-entropy at once. What a model leaves open, such as
// whether its scores are probabilities, is learnt by running it once.
//
// The error is an *autodiff.NotDifferentiable or *autodiff.NoPath, wrapped, where the model has no gradient,
// and an *Unsuitable where what it takes or gives has none.
func New(ctx context.Context, m *onnx.Model, o Options) (*Model, error) {
	if o.Batch < 0 || o.Batch > maxBatch || o.Threads < 0 {
		return nil, fmt.Errorf("gradients cannot be taken of %d rows at once by %d threads", o.Batch, o.Threads)
	}
	m = m.Clone()
	if err := m.Inline(); err != nil {
		return nil, err
	}
	r, err := model.Recognise(m, o.Override)
	if err != nil {
		return nil, fmt.Errorf("this is not a classifier that can be run: %w", err)
	}
	if err := suitable(r); err != nil {
		return nil, err
	}
	if r.Output == model.UnknownOutput || len(r.Classes) == 0 {
		if err := learn(ctx, m, r, o); err != nil {
			return nil, err
		}
	}
	g := &Model{recognised: r, options: o, runners: map[model.Loss]*runner{}}
	g.part = cmp.Or(r.Batch, together)
	if _, err := g.runner(model.CrossEntropy); err != nil {
		return nil, err
	}
	return g, nil
}

// Unsuitable says that a model's input or output has no gradient.
type Unsuitable struct{ Reason string }

func (e *Unsuitable) Error() string { return e.Reason + "; use a gradient-free method" }

// suitable reports what keeps gradients from existing whatever is in between.
func suitable(r *model.Recognised) error {
	for _, in := range r.Inputs {
		if !in.Element.IsFloat() {
			return &Unsuitable{fmt.Sprintf("no gradient exists with respect to the input %q, which is of %s", in.Name, in.Element)}
		}
	}
	if r.Output == model.Labels {
		return &Unsuitable{fmt.Sprintf("the output %q gives only labels, which have no gradient", r.Model.Graph.Outputs[0].Name)}
	}
	return nil
}

// learn runs the model on one row to complete its description.
func learn(ctx context.Context, m *onnx.Model, r *model.Recognised, o Options) error {
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{Options: ort.Options{Library: o.Library}, Override: o.Override})
	if err != nil {
		return err
	}
	d := c.Describe()
	r.Output, r.Classes = d.Output, d.Classes
	return c.Close()
}

// Batch is the number of rows that every call runs.
func (m *Model) Batch() int {
	n := cmp.Or(m.options.Batch, defaultBatch)
	return (n + m.part - 1) / m.part * m.part
}

// StraightThrough names the nodes, such as quantisation, whose gradient is zero almost
// everywhere, and through which that of the identity or another surrogate is given instead.
func (m *Model) StraightThrough() []string { return slices.Clone(m.straight) }

// Stopped names the nodes through which no gradient flows, such as rounding: what the
// scores depend on through these alone is invisible to attacks that follow gradients.
func (m *Model) Stopped() []string { return slices.Clone(m.stopped) }

// Loops names the nodes that run a part of the model again and again. A recurrent network does, and so
// does one that optimises its input before it answers, for which common attacks are not made.
func (m *Model) Loops() []string {
	var loops []*onnx.Node
	for _, n := range m.recognised.Model.Graph.Nodes {
		if op := n.OpType(); op == "Loop" || op == "Scan" {
			loops = append(loops, n)
		}
	}
	return names(loops)
}

// Refining names those of the loops that carry a value of the shape of the model's input from one pass to the next, as one does that
// optimises or purifies its input before it answers (the fifth flag of AutoAttack). The state of a recurrent network has another shape.
func (m *Model) Refining() []string {
	var shapes []onnx.Shape
	for _, in := range m.recognised.Inputs {
		row := onnx.Shape{onnx.Dim{Size: 1}}
		for _, n := range in.Shape {
			row = append(row, onnx.Dim{Size: n})
		}
		shapes = append(shapes, row)
	}
	types, err := infer.Shapes(m.recognised.Model, infer.WithInput(m.recognised.Inputs[0].Name, shapes[0]))
	if err != nil {
		return m.Loops() // what cannot be told apart is taken for the worse
	}
	var loops []*onnx.Node
	for _, n := range m.recognised.Model.Graph.Nodes {
		for _, state := range carried(n) {
			if slices.ContainsFunc(shapes, func(s onnx.Shape) bool { return slices.Equal(types.Shape(state), s) }) {
				loops = append(loops, n)
				break
			}
		}
	}
	return names(loops)
}

// carried are the values with which the state of a loop begins.
func carried(n *onnx.Node) []string {
	switch n.OpType() {
	case "Loop": // after the number of passes and the condition
		return n.Inputs[min(2, len(n.Inputs)):]
	case "Scan":
		return n.Inputs[:max(len(n.Inputs)-int(n.Int("num_scan_inputs", 0)), 0)]
	}
	return nil
}

// Close frees the model's memory after waiting for its run.
func (m *Model) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	var err error
	for _, r := range m.runners {
		err = errors.Join(err, r.close())
	}
	clear(m.runners)
	return err
}

// Gradient writes scores, loss and gradient of each row, as model.Differentiable says.
func (m *Model) Gradient(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, scores, losses, gradient []float32) error {
	return m.GradientDraws(ctx, loss, rows, labels, targets, nil, scores, losses, gradient)
}

// GradientDraws is Gradient with the random numbers of a draw for each row, of draw 0 where there are no draws.
func (m *Model) GradientDraws(ctx context.Context, loss model.Loss, rows []float32, labels, targets []int32, draws []uint64, scores, losses, gradient []float32) error {
	if draws != nil && len(draws) != len(labels) {
		return fmt.Errorf("%d rows have a draw each, and %d are given", len(labels), len(draws))
	}
	if err := m.check(loss, rows, labels, targets, scores, losses, gradient); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errors.New("the model whose gradient is asked for is closed")
	}
	if len(labels) == 0 {
		return ctx.Err()
	}
	r, err := m.runner(loss)
	if err != nil {
		return err
	}
	r.fill(rows, labels, targets)
	r.draw(draws, len(labels))
	if err := r.rows.Run(ctx); err != nil {
		return err
	}
	copy(scores, r.scores)
	copy(losses, r.losses)
	copy(gradient, r.gradient)
	return nil
}

func (m *Model) check(loss model.Loss, rows []float32, labels, targets []int32, scores, losses, gradient []float32) error {
	n, size, classes := len(labels), m.recognised.RowSize(), len(m.recognised.Classes)
	if _, known := byName[loss]; !known {
		return fmt.Errorf("the loss %q is not known: use one of %q", loss, model.Losses())
	}
	if n > m.Batch() {
		return fmt.Errorf("gradients of %d rows are asked for at once, and the most is %d", n, m.Batch())
	}
	if len(rows) != n*size || len(gradient) != n*size || len(scores) != n*classes || len(losses) != n {
		return fmt.Errorf("%d rows have %d values, as many slopes, %d scores and %d losses; %d values and room for %d, %d and %d are given",
			n, n*size, n*classes, n, len(rows), len(gradient), len(scores), len(losses))
	}
	if loss.Targeted() && len(targets) != n {
		return fmt.Errorf("the loss %q needs a target for each of %d rows, and has %d", loss, n, len(targets))
	}
	for _, list := range [][]int32{labels, targets} {
		for i, class := range list {
			if most := m.recognised.Labels(); class < 0 || int(class) >= most {
				return fmt.Errorf("row %d is of class %d, and there are 0 to %d", i, class, most-1)
			}
		}
	}
	return nil
}

// runner is the graph of one loss, bound to memory for a batch.
type runner struct {
	workers *ort.Workers
	rows    *ort.Rows

	x                        []float32
	random                   []model.Source
	noise                    [][]float32 // of each source
	labels, targets          []int64
	scores, losses, gradient []float32
}

// runner gives the runner of a loss, made when it is first asked for.
func (m *Model) runner(loss model.Loss) (*runner, error) {
	if r := m.runners[loss]; r != nil {
		return r, nil
	}
	graph, err := m.derive(loss)
	if err != nil {
		return nil, err
	}
	n := m.Batch()
	r := &runner{
		x: make([]float32, n*m.recognised.RowSize()), labels: make([]int64, n), targets: make([]int64, n),
		scores: make([]float32, n*len(m.recognised.Classes)), losses: make([]float32, n),
	}
	r.gradient = make([]float32, len(r.x))
	threads := min(cmp.Or(m.options.Threads, runtime.GOMAXPROCS(0)), n/m.part)
	if r.workers, err = ort.NewWorkers(graph, ort.Options{Library: m.options.Library}, threads); err != nil {
		return nil, err
	}
	shape := append([]int64{int64(n)}, m.recognised.Shape...)
	inputs := []*ort.Tensor{ort.NewTensor(r.x, shape...)}
	for _, in := range m.recognised.Random {
		noise := make([]float32, n*in.Size)
		r.random, r.noise = append(r.random, in), append(r.noise, noise)
		inputs = append(inputs, ort.NewTensor(noise, append([]int64{int64(n)}, in.Shape...)...))
	}
	inputs = append(inputs, ort.NewTensor(r.labels))
	if loss.Targeted() {
		inputs = append(inputs, ort.NewTensor(r.targets))
	}
	outputs := []*ort.Tensor{
		ort.NewTensor(r.scores, int64(n), int64(len(m.recognised.Classes))), ort.NewTensor(r.losses), ort.NewTensor(r.gradient, shape...),
	}
	if r.rows, err = r.workers.Bind(inputs, outputs, int64(m.part)); err != nil {
		return nil, errors.Join(err, r.workers.Close())
	}
	m.runners[loss] = r
	return r, nil
}

// fill writes a call's rows into the memory of the batch, and repeats the last one.
func (r *runner) fill(rows []float32, labels, targets []int32) {
	n := len(labels)
	size := len(r.x) / len(r.labels)
	copy(r.x, rows)
	for i := range r.labels {
		from := min(i, n-1)
		if i > from {
			copy(r.x[i*size:(i+1)*size], rows[from*size:])
		}
		r.labels[i] = int64(labels[from])
		if targets != nil {
			r.targets[i] = int64(targets[from])
		}
	}
}

// draw writes the random numbers of a call's n rows, and of those that fill up the batch.
func (r *runner) draw(draws []uint64, n int) {
	if len(r.random) == 0 {
		return
	}
	size := len(r.x) / len(r.labels)
	for i := range r.labels {
		draw := uint64(0)
		if draws != nil {
			draw = draws[min(i, n-1)]
		}
		key := model.KeyOf(r.x[i*size:(i+1)*size], draw)
		for k, in := range r.random {
			in.Fill(r.noise[k][i*in.Size:(i+1)*in.Size], key)
		}
	}
}

func (r *runner) close() error {
	r.rows.Close()
	return r.workers.Close()
}
