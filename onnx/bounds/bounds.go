// Package bounds turns a model into one that bounds it: a graph whose inputs are boxes
// of the model's inputs, one per row of a batch, and whose outputs are numbers that the
// model's outputs, or linear combinations of them, cannot leave while its input stays
// in the box. It is made of ordinary ONNX operators, so that a runtime runs it in
// batches as it runs the model.
//
// Two methods are known: interval arithmetic (IBP; Gowal et al. 2018, arXiv:1810.12715),
// and linear bounds that are carried back from the outputs to the input (CROWN; Zhang et
// al. 2018, arXiv:1811.00866; in the form for general graphs of Xu et al. 2020,
// arXiv:2002.12920).
//
// The bounds hold for the function of real numbers that the model stands for and for
// what a runtime computes of it in float32, in any order of summation; docs/adr/0016
// proves it and says what is assumed.
package bounds

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"assay/onnx"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

// Method is how bounds are found.
type Method int

// The methods. None is looser than IBP, but for rounding.
const (
	// IBP carries an interval for each value forward through the graph. What is linear
	// after the last nonlinear operator is taken together with the combinations asked for.
	IBP Method = iota
	// CROWNIBP carries the combinations asked for back to the input as linear functions,
	// with IBP's bounds of the values that go into nonlinear operators.
	CROWNIBP
	// CROWN finds the bounds of these values by CROWN too. Its cost grows with their
	// number, and it is for networks with some hundreds of them in a layer: where there
	// are more than 1024 the bounds by IBP stay.
	CROWN
)

// Norm is that of a ball that the input stays in, besides its box.
type Norm int

// The norms.
const (
	Linf Norm = iota // the box says all
	L2
	L1
)

// Options say what is bounded, and how.
type Options struct {
	Method Method
	// Rows is how many linear combinations of the outputs are bounded from below; the
	// model then has an input of them. At 0 the outputs are bounded from both sides.
	Rows int
	// Slopes adds, by CROWN or CROWN-IBP of combinations over boxes, the linear functions that
	// were carried back: see [Slopes].
	Slopes bool
	// Norm other than Linf adds inputs for the centre and the radius of a ball. IBP uses
	// only the box.
	Norm Norm
}

// The names of a bounding model's inputs and outputs.
const (
	Lower = "lower" // input [batch d…]
	Upper = "upper" // input [batch d…]
	Rows  = "rows"  // input [batch rows n] over the n outputs of an example, in row-major order

	Center = "center" // input [batch d…] of L2 and L1
	Radius = "radius" // input [batch 1] of L2 and L1

	LowerBound = "lower_bound" // output [batch rows], or of the model's output's shape
	UpperBound = "upper_bound" // output of the model's output's shape, without rows

	// Of each row, what is bounded is at least LinearBound + Σ s (x - w) over the numbers of
	// the input x anywhere in the box, with s the row's Slopes and w the end of the box
	// where s w is least.
	Slopes      = "slopes"       // output [batch rows numbers of an input], with Options.Slopes
	LinearBound = "linear_bound" // output [batch rows], with Options.Slopes
)

// Unsupported lists the nodes that have no bounds.
type Unsupported struct {
	Nodes   []*onnx.Node
	Reasons []string // one for each node
}

func (e *Unsupported) Error() string {
	lines := make([]string, len(e.Nodes))
	for i, n := range e.Nodes {
		lines[i] = fmt.Sprintf("%s (%s)", n, e.Reasons[i])
	}
	return "no bounds are known of " + strings.Join(lines, ", ") + ": the model cannot be certified"
}

// New gives the model of the bounds of m, a model of one float32 input and one float32
// output whose first dimension is the batch and which treats the examples in it
// separately. m is not changed.
//
// Inputs are Lower and Upper, boxes that must not be empty (the bounds of an empty one
// mean nothing), and Rows, Center and Radius where the options ask for them, in this
// order. A bound that overflows float32 is infinite. It fails with *Unsupported where a
// node has no bounds.
func New(m *onnx.Model, opts Options) (*onnx.Model, error) {
	b, err := newBounder(m, opts)
	if err != nil {
		return nil, err
	}
	return b.finished()
}

// finished builds the bounds.
func (b *bounder) finished() (*onnx.Model, error) {
	if err := b.intervals(); err != nil {
		return nil, err
	}
	if err := b.finish(); err != nil {
		return nil, err
	}
	out := b.source.Clone()
	out.Graph, out.Functions = b.Graph, nil
	return out, nil
}

// interval names the bounds of a value; both are the value itself for a constant.
type interval struct{ lower, upper string }

// bounder builds the graph of bounds.
type bounder struct {
	*onnx.Builder
	rules    map[string]rule
	opts     Options
	source   *onnx.Model
	types    *infer.Types // of the source's values for a batch of one
	input    string
	output   string
	nodes    []*onnx.Node // those that depend on the input
	maker    map[string]*onnx.Node
	bounds   map[string]interval    // of the values that depend on the input
	positive map[string]bool        // values whose bounds are at least 0
	wide     []string               // sums of error terms, one number for each example
	mags     map[string]string      // their greatest magnitudes, where these were needed
	relaxed  map[*onnx.Node]relaxed // linear bounds of nonlinear nodes
	errors   map[*onnx.Node]string  // error terms of nodes
}

func newBounder(m *onnx.Model, opts Options) (*bounder, error) {
	if opts.Slopes && (opts.Method == IBP || opts.Rows == 0 || opts.Norm != Linf) {
		return nil, errors.New("slopes are given by CROWN or CROWN-IBP, of combinations of the outputs over boxes")
	}
	m = m.Clone()
	if err := m.Inline(); err != nil {
		return nil, err
	}
	m, err := upgrade.To(m, upgrade.Form)
	if err != nil {
		return nil, err
	}
	inputs := m.Graph.FreeInputs()
	if len(inputs) != 1 || len(m.Graph.Outputs) != 1 {
		return nil, fmt.Errorf("the model has %d inputs and %d outputs: bounds are found for one of each", len(inputs), len(m.Graph.Outputs))
	}
	in := inputs[0]
	if in.Type.Elem != onnx.Float32 || len(in.Type.Shape) < 2 {
		return nil, fmt.Errorf("the input %s is %s: bounds are found for float32 with the batch as first dimension", in.Name, in.Type)
	}
	shape := slices.Clone(in.Type.Shape)
	shape[0] = onnx.Fixed(1)[0]
	for i, d := range shape {
		if !d.Known() || d.Size == 0 {
			return nil, fmt.Errorf("dimension %d of the input %s has no stated size above 0: state it in the model", i, in.Name)
		}
	}
	one := infer.WithInput(in.Name, shape)
	types, err := infer.Shapes(m, one)
	if err == nil {
		rewrite(m, types)
		types, err = infer.Shapes(m, one)
	}
	if err != nil {
		return nil, fmt.Errorf("with a batch of one: %w", err)
	}
	b := &bounder{
		rules: table(), opts: opts, source: m, types: types, input: in.Name, output: m.Graph.Outputs[0].Name,
		maker: map[string]*onnx.Node{}, bounds: map[string]interval{}, mags: map[string]string{}, positive: map[string]bool{},
		relaxed: map[*onnx.Node]relaxed{}, errors: map[*onnx.Node]string{},
	}
	return b, b.start()
}

// start takes the nodes apart into those that depend on the input, of which bounds are
// found, and the others, which are computed as they are.
func (b *bounder) start() error {
	g := b.source.Graph
	depends := map[string]bool{b.input: true}
	kept := &onnx.Graph{Name: g.Name + " bounds", Initializers: slices.Clone(g.Initializers)}
	var known []*onnx.Tensor
	for _, n := range g.Nodes {
		if !slices.ContainsFunc(n.Reads(), func(v string) bool { return depends[v] }) {
			kept.Nodes = append(kept.Nodes, n)
			continue
		}
		whole := true
		for _, o := range n.Outputs {
			if c := b.types.Constant(o); c != nil { // such as a shape
				known = append(known, c.Renamed(o))
				continue
			}
			whole = false
			if o != "" {
				depends[o], b.maker[o] = true, n
			}
		}
		if !whole {
			b.nodes = append(b.nodes, n)
		}
	}
	kept.Initializers = append(kept.Initializers, known...)
	b.Builder = onnx.Extend(g.Clone()) // so that new names are none of the source's
	*b.Graph = *kept
	if !depends[b.output] {
		return errors.New("the output does not depend on the input")
	}
	b.nodes = b.needed()
	return b.check()
}

// needed are the nodes that the output rests on.
func (b *bounder) needed() []*onnx.Node {
	wanted := map[string]bool{b.output: true}
	var nodes []*onnx.Node
	for _, n := range slices.Backward(b.nodes) {
		if slices.ContainsFunc(n.Outputs, func(o string) bool { return wanted[o] }) {
			nodes = append(nodes, n)
			for _, v := range n.Reads() {
				wanted[v] = true
			}
		}
	}
	slices.Reverse(nodes)
	return nodes
}

// check collects all nodes without bounds.
func (b *bounder) check() error {
	var failed Unsupported
	for _, n := range b.nodes {
		because := b.refusal(n)
		if because != "" {
			failed.Nodes = append(failed.Nodes, n)
			failed.Reasons = append(failed.Reasons, because)
		}
	}
	if len(failed.Nodes) > 0 {
		return &failed
	}
	return nil
}

// refusal says why a node has no bounds, "" where it has.
func (b *bounder) refusal(n *onnx.Node) string {
	rule, ok := b.rules[n.OpType()]
	if !ok {
		return "its operator is not supported"
	}
	for _, o := range n.Outputs {
		if o == "" || !b.depends(o) {
			continue
		}
		shape := b.types.Shape(o)
		if _, fixed := shape.Sizes(); !fixed || len(shape) == 0 || shape[0].Size != 1 || b.types.Elem(o) != onnx.Float32 {
			return fmt.Sprintf("it gives %s where a float32 with the batch as first dimension is needed", b.types.Of(o))
		}
	}
	if rule.fits != nil {
		return rule.fits(b, n)
	}
	return ""
}

func (b *bounder) depends(v string) bool { return v == b.input || b.maker[v] != nil }

// sizes are those of an example of a value, without the batch.
func (b *bounder) sizes(v string) []int64 {
	s, _ := b.types.Shape(v).Sizes()
	return s[1:]
}

// count is the number of elements of an example.
func (b *bounder) count(v string) int64 {
	n, _ := onnx.Count(b.sizes(v))
	return n
}

// of gives the bounds of a value.
func (b *bounder) of(v string) interval {
	if i, ok := b.bounds[v]; ok {
		return i
	}
	return interval{v, v}
}

// mag is the greatest magnitude of a value, element by element.
func (b *bounder) mag(v string) string {
	if m, ok := b.mags[v]; ok {
		return m
	}
	i := b.of(v)
	m := b.Op("Abs", nil, i.lower)
	if i.lower != i.upper {
		m = b.Op("Max", nil, m, b.Op("Abs", nil, i.upper))
	}
	b.mags[v] = m
	return m
}

// intervals finds the bounds of all values, from the input on.
func (b *bounder) intervals() error {
	dims := []any{"batch"}
	for _, d := range b.sizes(b.input) {
		dims = append(dims, d)
	}
	l, u := b.Input(Lower, onnx.Float32, dims...), b.Input(Upper, onnx.Float32, dims...)
	if l != Lower || u != Upper {
		return errors.New("the model has values named lower or upper: rename them")
	}
	b.bounds[b.input] = interval{l, u}
	for _, n := range b.nodes {
		rule := b.rules[n.OpType()]
		if b.opts.Method == CROWN && !b.affineHere(n) {
			for _, v := range slices.Compact(slices.Clone(n.Inputs)) {
				if err := b.tighten(v); err != nil {
					return err
				}
			}
		}
		if err := rule.interval(b, n); err != nil {
			return fmt.Errorf("bounds of %s: %w", n, err)
		}
	}
	return nil
}

// finish adds the outputs.
func (b *bounder) finish() error {
	dims := onnx.Dims("batch")
	if b.opts.Rows > 0 {
		rows := b.Input(Rows, onnx.Float32, "batch", int64(b.opts.Rows), b.count(b.output))
		if rows != Rows {
			return errors.New("the model has a value named rows: rename it")
		}
		if err := b.ballInputs(); err != nil {
			return err
		}
		low, err := b.below(b.output, rows, int64(b.opts.Rows))
		if err != nil {
			return err
		}
		dims = append(dims, onnx.Fixed(int64(b.opts.Rows))...)
		b.OutputAs(LowerBound, b.known(low.bound, len(dims), math.Inf(-1)), onnx.Float32, dims)
		if b.opts.Slopes {
			n := b.count(b.input)
			if low.slopes == "" { // nothing is linear as far as the input
				none := b.mul(b.Op("Reshape", nil, Lower, b.Ints(-1, 1, n)), b.number(0))
				low.slopes = b.Op("Expand", nil, none, b.Ints(1, int64(b.opts.Rows), 1))
			}
			slopes := b.Op("Reshape", nil, low.slopes, b.Ints(-1, int64(b.opts.Rows), n))
			b.OutputAs(Slopes, slopes, onnx.Float32, append(slices.Clone(dims), onnx.Fixed(n)...))
			b.OutputAs(LinearBound, b.known(low.linear, len(dims), math.Inf(-1)), onnx.Float32, dims)
		}
		return nil
	}
	if err := b.ballInputs(); err != nil {
		return err
	}
	if b.opts.Method != IBP {
		if err := b.tighten(b.output); err != nil {
			return err
		}
	}
	i := b.of(b.output)
	dims = append(dims, onnx.Fixed(b.sizes(b.output)...)...)
	b.OutputAs(LowerBound, b.known(i.lower, len(dims), math.Inf(-1)), onnx.Float32, dims)
	b.OutputAs(UpperBound, b.known(i.upper, len(dims), math.Inf(1)), onnx.Float32, dims)
	return nil
}
