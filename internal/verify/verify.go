// Package verify decides whether a network has a property: it looks for an input that the
// property calls unsafe, and proves that there is none by branch and bound over the
// inputs (Bunel et al. 2018, arXiv:1711.00455; by linear bounds on halves of boxes as in
// Wang et al. 2018, arXiv:1804.10829). What counts as proved rests on the bounds of package
// onnx/bounds alone, which hold under float32's rounding; a counterexample is computed
// again in float64 and by the runtime, each on the model as it is given.
package verify

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"assay/internal/vnnlib"
	"assay/onnx"
)

// Verdict says whether a property holds.
type Verdict string

// The verdicts.
const (
	Holds    Verdict = "holds"
	Violated Verdict = "violated"
	Unknown  Verdict = "unknown"
)

// Assumption is what a proof holds under.
const Assumption = "the model is a function of real numbers, or is run in float32 by IEEE 754's rules with its sums in any order"

// Options say how the work is done. The result depends on Batch and Seed and, where time
// is up, on time; it does not depend on Workers.
type Options struct {
	Batch   int    // boxes that are bounded by one call; 0 for what suits the model's size
	Workers int    // calls at once; 0 for as many as Go uses
	Seed    uint64 // of the search's starts
	Library string // the ONNX Runtime library; see ort.Load
}

// Result is what was found.
type Result struct {
	Verdict        Verdict         `json:"verdict"`
	Counterexample *Counterexample `json:"counterexample,omitempty"` // of Violated
	// Proved is the part of the property's inputs, by volume and with equal parts for its
	// cases, of which it is proved.
	Proved float64 `json:"proved"`
	Boxes  int     `json:"boxes"`          // that were bounded
	Left   int     `json:"left,omitempty"` // that are not decided, of Unknown
	// Narrow counts boxes, of those left, that cannot be divided any further in float32.
	Narrow int `json:"narrow,omitempty"`
}

// Counterexample is an input that the property calls unsafe, as both float64 and ONNX
// Runtime confirm: X is in its box, the outputs of X in float64 and Y, the runtime's of X
// rounded to float32, are both unsafe.
type Counterexample struct {
	X []float64 `json:"x"`
	Y []float64 `json:"y"`
}

// Prove decides whether a model of one float32 input and one float32 output has a property,
// or goes on until the context is done: its deadline gives Unknown with what was proved till
// then, its cancellation the error as well. It fails with *bounds.Unsupported where the
// model has an operator without bounds.
func Prove(ctx context.Context, m *onnx.Model, p *vnnlib.Property, o Options) (*Result, error) {
	shape, err := fits(m, p)
	if err != nil {
		return nil, err
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Batch <= 0 {
		o.Batch = batchFor(m)
	}
	b, err := newBrancher(m, p, shape, o)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	err = b.run(ctx)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = nil
	}
	return b.result(), err
}

// batchFor keeps the linear bounds of a batch, which are as many as a layer is wide, near
// the cache.
func batchFor(m *onnx.Model) int {
	weights := int64(1)
	for _, t := range m.Graph.Initializers {
		n, _ := onnx.Count(t.Shape)
		weights += n
	}
	return int(min(max((1<<19)/weights, 1), 16))
}

// fits gives the shape of an example, if the property is about such a model.
func fits(m *onnx.Model, p *vnnlib.Property) ([]int64, error) {
	inputs := m.Graph.FreeInputs()
	if len(inputs) != 1 || len(m.Graph.Outputs) != 1 {
		return nil, fmt.Errorf("the model has %d inputs and %d outputs: properties of one of each can be decided", len(inputs), len(m.Graph.Outputs))
	}
	sizes, _ := inputs[0].Type.Shape.Sizes()
	n, ok := int64(0), false
	if len(sizes) > 1 {
		n, ok = onnx.Count(sizes[1:])
	}
	if !ok || n < 1 {
		return nil, fmt.Errorf("the input is %s: its sizes but for the batch must be stated in the model", inputs[0].Type)
	}
	if int64(p.Inputs) != n {
		return nil, fmt.Errorf("the property has %d inputs, and the model takes %d numbers: they are not about the same network", p.Inputs, n)
	}
	if outputs, ok := outputCount(m); ok && outputs != int64(p.Outputs) {
		return nil, fmt.Errorf("the property has %d outputs, and the model gives %d numbers: they are not about the same network", p.Outputs, outputs)
	}
	return sizes[1:], nil
}

// outputCount is the number of outputs of an example, where the model states it.
func outputCount(m *onnx.Model) (int64, bool) {
	shape := m.Graph.Outputs[0].Type.Shape
	if len(shape) == 0 {
		return 0, false
	}
	n := int64(1)
	for _, d := range shape[1:] {
		if !d.Known() {
			return 0, false
		}
		n *= d.Size
	}
	return n, true
}
