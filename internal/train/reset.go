package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"assay/internal/model/ort"
	"assay/onnx"
)

// Reset gives a model with the weights that [Run] would train drawn anew, so that nothing is left in them of what they
// were trained on: those of layers by He et al. (2015, arXiv:1502.01852, equation 10), biases 0, and normalisation
// that changes nothing. Constants before the first layer, such as the means by which a model standardizes its input,
// stay as they are. A weight of another operator than a convolution, a dense layer or batch normalisation is an error.
func Reset(m *onnx.Model, d *Data, seed uint64) (*onnx.Model, error) {
	m = separated(m)
	p, err := newPlan(m, d, &Options{})
	if err != nil {
		return nil, err
	}
	if err := p.takeParameters(nil); err != nil {
		return nil, err
	}
	memory, err := newMemory(p)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	for i, w := range p.parameters {
		s := memory.segments[i]
		if err := redraw(memory.weights[s.start:s.end], w, p.base.Graph, rng); err != nil {
			return nil, err
		}
	}
	clear(memory.running)
	for i, s := range p.statistics {
		if s.of == 2 { // a variance
			fill(ort.Data[float32](memory.statistics[i]), 1)
		}
	}
	return p.model(memory.values())
}

// redraw draws the values of one weight, by the operator that takes it.
func redraw(values []float32, w parameter, g *onnx.Graph, rng *rand.Rand) error {
	n, at := user(g, w.name)
	fan := int64(0)
	switch op := n.OpType(); {
	case op == "Conv" && at == 1 && len(w.shape) > 1:
		fan = w.shape[1]
		for _, size := range w.shape[2:] {
			fan *= size
		}
	case (op == "Gemm" || op == "MatMul") && w.decay && len(w.shape) == 2:
		fan = w.shape[0]
		if op == "Gemm" && n.Int("transB", 0) != 0 {
			fan = w.shape[1]
		}
	case op == "BatchNormalization" && at == 1:
		fill(values, 1)
		return nil
	case (op == "Conv" || op == "Gemm" || op == "BatchNormalization") && at == 2, op == "Add" && !w.decay:
		clear(values)
		return nil
	}
	if fan < 1 {
		return fmt.Errorf("the weight %q is of the operator %s, of which it is not known how to draw it anew: train a new network instead", w.name, n.OpType())
	}
	deviation := math.Sqrt(2 / float64(fan))
	for i := range values {
		values[i] = float32(rng.NormFloat64() * deviation)
	}
	return nil
}

func fill(values []float32, with float32) {
	for i := range values {
		values[i] = with
	}
}

// user gives the node that takes a weight, past what only rearranges it, and as which of its inputs.
func user(g *onnx.Graph, name string) (*onnx.Node, int) {
	for _, n := range g.Nodes {
		at := slices.Index(n.Inputs, name)
		switch {
		case at < 0:
		case at == 0 && n.OpType() == "Identity":
			return user(g, n.Output(0))
		default:
			return n, at
		}
	}
	return &onnx.Node{}, 0
}
